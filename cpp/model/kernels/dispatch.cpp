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

// Tile registers multiply several times as fast as vectors: there LibTorch's products, which use them, are the fastest.
constexpr Kernels kAmx{"amx_bf16", &avx512_bf16_rows, &avx512_rows_fp32, &kAttention, nullptr};
#endif

}  // namespace

CpuFeatures cpu_features() {
  CpuFeatures features;
#if defined(__x86_64__)
  features.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  features.avx512 = features.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  features.avx512_bf16 = features.avx512 && __builtin_cpu_supports("avx512bf16");
  features.amx_bf16 = features.avx512_bf16 && __builtin_cpu_supports("amx-bf16");
#endif
  return features;
}

const Kernels& kernels_for([[maybe_unused]] const CpuFeatures& features, [[maybe_unused]] const char* limit) {
#if defined(__x86_64__)
  const std::string_view named(limit);
  const bool avx2_allowed = named != "default", avx512_allowed = avx2_allowed && named != "avx2";
  if (avx512_allowed && features.amx_bf16) return kAmx;
  if (avx512_allowed && features.avx512_bf16) return kAvx512Bf16;
  if (avx512_allowed && features.avx512) return kAvx512;
  if (avx2_allowed && features.avx2) return kAvx2;
#endif
  return kPortable;
}

const Kernels& select_kernels() {
  static const Kernels& chosen = []() -> const Kernels& {
    const char* limit = std::getenv("ATEN_CPU_CAPABILITY");
    return kernels_for(cpu_features(), limit == nullptr ? "" : limit);
  }();
  return chosen;
}

}  // namespace autoround::model::kernels
