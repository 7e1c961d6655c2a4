#include "quant/kernels.hpp"

#include <cstdlib>

#include "model/kernels/kernels.hpp"

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
  const auto features = model::kernels::cpu_features();
  if (name == "avx512") return features.avx512 ? &avx512::table : nullptr;
  if (name == "avx2") return features.avx2 ? &avx2::table : nullptr;
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
