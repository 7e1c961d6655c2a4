#include "quant/kernels.hpp"

#include <cstdlib>

namespace autoround::quant {

namespace portable {
extern const Kernels table;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels table;
}
namespace avx512 {
extern const Kernels table;
}
#endif

const Kernels* find_kernels(std::string_view name) {
#if defined(__x86_64__)
  if (name == "avx512") {
    const bool runs = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return runs ? &avx512::table : nullptr;
  }
  if (name == "avx2") return __builtin_cpu_supports("avx2") ? &avx2::table : nullptr;
#endif
  return name == "portable" ? &portable::table : nullptr;
}

const Kernels& kernels() {
  static const Kernels& chosen = []() -> const Kernels& {
    const char* text = std::getenv("ATEN_CPU_CAPABILITY");
    const std::string_view limit = text ? text : "";
    const Kernels* found = nullptr;
    if (limit != "default" && limit != "avx2") found = find_kernels("avx512");
    if (!found && limit != "default") found = find_kernels("avx2");
    return found ? *found : portable::table;
  }();
  return chosen;
}

}  // namespace autoround::quant
