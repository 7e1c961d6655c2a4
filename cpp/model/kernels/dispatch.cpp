#include <cstdlib>
#include <string_view>

#include "model/kernels/tables.hpp"

namespace autoround::model::kernels {
namespace {

constexpr Kernels kPortable{"portable", &portable_rows_bf16, &portable_rows_fp32, nullptr, nullptr};

#if defined(__x86_64__)
constexpr Kernels kAvx2{"avx2", &avx2_rows_bf16, &avx2_rows_fp32, nullptr, nullptr};
constexpr Kernels kAvx512{"avx512", &avx512_rows_bf16, &avx512_rows_fp32, nullptr, nullptr};
constexpr AttentionKernels kAttention{&avx512_bf16_attention_forward, &avx512_bf16_attention_backward};
constexpr Kernels kAvx512Bf16{"avx512_bf16", &avx512_bf16_rows, &avx512_rows_fp32, &kAttention, &avx512_bf16_products};

bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

const Kernels& select() {
  const char* variable = std::getenv("ATEN_CPU_CAPABILITY");
  const std::string_view limit = variable == nullptr ? "" : variable;
  if (limit == "default") return kPortable;
  if (limit != "avx2" && has_avx512()) return __builtin_cpu_supports("avx512bf16") ? kAvx512Bf16 : kAvx512;
  return has_avx2() ? kAvx2 : kPortable;
}
#else
const Kernels& select() { return kPortable; }
#endif

}  // namespace

const Kernels& select_kernels() {
  static const Kernels& chosen = select();
  return chosen;
}

}  // namespace autoround::model::kernels
