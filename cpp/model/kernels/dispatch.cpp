#include <cstdlib>
#include <string>
#include <string_view>

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "model/kernels/tables.hpp"

namespace autoround::model::kernels {
namespace {

constexpr Kernels kPortable{"portable", &portable_rows_bf16, &portable_rows_fp32,
                            nullptr,    &portable_attention, nullptr};

#if defined(__x86_64__)
constexpr Kernels kAvx2{"avx2", &portable_rows_bf16, &avx2_rows_fp32, nullptr, &avx2_attention, nullptr};
constexpr Kernels kAvx512{"avx512", &portable_rows_bf16, &avx512_rows_fp32, nullptr, &avx512_attention, nullptr};
constexpr Kernels kAvx512Bf16{"avx512_bf16",          &avx512_bf16_rows, &avx512_rows_fp32,
                              &avx512_bf16_attention, &avx512_attention, &avx512_bf16_products};
constexpr Kernels kAmx{"amx_bf16",          &avx512_bf16_rows, &avx512_rows_fp32,
                       &amx_bf16_attention, &avx512_attention, &amx_bf16_products};

/// The tile registers are usable once the process has asked for them (Linux, Documentation/arch/x86/xstate.rst), as
/// LibTorch's oneDNN does too. Refused where a thread's signal stack is too small for them.
bool tiles_granted() {
#if defined(__linux__)
  constexpr int request_permission = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}

/// Whether oneDNN may use tile registers at a level, which may be named in small letters too.
bool allows_tiles(std::string_view level) {
  std::string name(level);
  for (char& c : name) c = 'a' <= c && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return name.empty() || name == "DEFAULT" || name == "ALL" || name.find("AMX") != name.npos;
}
#endif

}  // namespace

CpuFeatures cpu_features() {
  CpuFeatures features;
#if defined(__x86_64__)
  features.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  features.avx512 = features.avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  features.avx512_bf16 = features.avx512 && __builtin_cpu_supports("avx512bf16");
  features.amx_bf16 = features.avx512_bf16 && __builtin_cpu_supports("amx-bf16") && tiles_granted();
#endif
  return features;
}

const Kernels& kernels_for([[maybe_unused]] const CpuFeatures& features, [[maybe_unused]] const char* limit,
                           [[maybe_unused]] const char* onednn) {
#if defined(__x86_64__)
  const std::string_view named(limit);
  const bool avx2_allowed = named != "default", avx512_allowed = avx2_allowed && named != "avx2";
  if (avx512_allowed && features.amx_bf16 && allows_tiles(onednn)) return kAmx;
  if (avx512_allowed && features.avx512_bf16) return kAvx512Bf16;
  if (avx512_allowed && features.avx512) return kAvx512;
  if (avx2_allowed && features.avx2) return kAvx2;
#endif
  return kPortable;
}

const char* onednn_limit() {
  const char* limit = std::getenv("ONEDNN_MAX_CPU_ISA");
  return limit != nullptr ? limit : std::getenv("DNNL_MAX_CPU_ISA");  // its older name, which oneDNN still reads
}

const Kernels& select_kernels() {
  static const Kernels& chosen = []() -> const Kernels& {
    const char *limit = std::getenv("ATEN_CPU_CAPABILITY"), *onednn = onednn_limit();
    return kernels_for(cpu_features(), limit == nullptr ? "" : limit, onednn == nullptr ? "" : onednn);
  }();
  return chosen;
}

}  // namespace autoround::model::kernels
