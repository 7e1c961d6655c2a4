#include "base/version.hpp"

#include <algorithm>
#include <cstring>

#include "base/json.hpp"
#include "device/device.hpp"
#include "exporter/exporter.hpp"
#include "handles.hpp"
#include "model/causal_lm.hpp"
#include "quant/rounding.hpp"
#include "recipe/scheme.hpp"
#include "session/run_types.hpp"

namespace {

namespace ar = autoround;

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool has_feature(const std::string& name) {
  if (name == "recipe.toml" || name == "recipe.yaml") return true;
  if (name == "cuda") return ar::device::has_cuda();
  if (name == "bf16") return ar::model::preferred_compute_type() == at::kBFloat16;
  if (name == "avx512" || name == "avx2") return name == ar::quant::kernel_name();
  if (name.rfind("format.", 0) == 0) return contains(ar::exporter::format_names(), name.substr(7));
  if (name.rfind("scheme.", 0) == 0) return contains(ar::recipe::preset_names(), name.substr(7));
  return false;
}

const std::string& build_info() {
  static const std::string info =
      ar::Json({{"version", ar::version_string},
                {"libtorch", ar::session::libtorch_version()},
                {"compiler", __VERSION__},
                {"kernels", ar::quant::kernel_name()},
                {"compute", ar::model::preferred_compute_type() == at::kBFloat16 ? "bf16" : "fp32"},
                {"cuda", AUTOROUND_HAS_CUDA != 0}})
          .dump();
  return info;
}

}  // namespace

uint32_t autoround_version_number(void) noexcept { return ar::version_number; }
const char* autoround_version_string(void) noexcept { return ar::version_string; }
uint32_t autoround_abi_version(void) noexcept { return ar::abi_version; }

int32_t autoround_has_feature(const char* name) noexcept {
  try {
    return name && has_feature(name) ? 1 : 0;
  } catch (const std::exception&) {
    return 0;  // out of memory while comparing names
  }
}

const char* autoround_build_info(void) noexcept { return build_info().c_str(); }

size_t autoround_scheme_count(void) noexcept { return ar::recipe::preset_names().size(); }
const char* autoround_scheme_name(size_t index) noexcept {
  const auto& names = ar::recipe::preset_names();
  return index < names.size() ? names[index].c_str() : "";
}
size_t autoround_format_count(void) noexcept { return ar::exporter::format_names().size(); }
const char* autoround_format_name(size_t index) noexcept {
  const auto& names = ar::exporter::format_names();
  return index < names.size() ? names[index].c_str() : "";
}

size_t autoround_live_handles(const char* kind) noexcept {
  std::size_t total = 0;
  for (std::uint32_t i = 0; i < ar::capi::kind_count; ++i) {
    const auto k = static_cast<ar::capi::Kind>(i);
    if (!kind || std::strcmp(kind, ar::capi::kind_name(k)) == 0) total += ar::capi::live(k).load();
  }
  return total;
}
