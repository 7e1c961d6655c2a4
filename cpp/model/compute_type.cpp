#include "model/compute_type.hpp"

#include <ATen/cpu/Utils.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <string>
#include <string_view>

#include "model/kernels/kernels.hpp"

namespace autoround::model {
namespace {

bool cpu_has(const std::string& capability) {
  const auto capabilities = at::cpu::get_cpu_capabilities();
  const auto found = capabilities.find(capability);
  return found != capabilities.end() && found->second.isBool() && found->second.toBool();
}

std::string upper(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return result;
}

/// LibTorch's own limit: any named level below AVX-512.
bool aten_limit_forbids(const char* limit) {
  const std::string name = upper(limit);
  return name == "DEFAULT" || name == "AVX2";
}

/// oneDNN's limit: any level whose matrix products have no bf16 instructions.
bool onednn_limit_forbids(const char* limit) {
  static constexpr std::array<std::string_view, 8> without_bf16{
      "SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_MIC", "AVX512_CORE", "AVX512_CORE_VNNI"};
  return std::find(without_bf16.begin(), without_bf16.end(), upper(limit)) != without_bf16.end();
}

}  // namespace

at::ScalarType compute_type(bool bf16_instructions, const char* aten_limit, const char* onednn_limit) {
  const bool usable = bf16_instructions && !(aten_limit && aten_limit_forbids(aten_limit)) &&
                      !(onednn_limit && onednn_limit_forbids(onednn_limit));
  return usable ? at::kBFloat16 : at::kFloat;
}

at::ScalarType preferred_compute_type() {
  return compute_type(cpu_has("avx512_bf16") || cpu_has("amx_bf16"), std::getenv("ATEN_CPU_CAPABILITY"),
                      kernels::onednn_limit());
}

}  // namespace autoround::model
