#include "session/run_types.hpp"

#include <caffe2/core/common.h>
#include <torch/version.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"
#include "device/device.hpp"
#include "exporter/exporter.hpp"
#include "model/compute_type.hpp"

namespace autoround::session {

at::Device compute_device(const Options& options) {
  const at::Device device = device::parse(options.device);
  device::require(device);
  return device;
}

at::ScalarType compute_type(const Options& options) {
  if (options.compute_dtype == "bf16") return at::kBFloat16;
  if (options.compute_dtype == "fp32") return at::kFloat;
  return device::parse(options.device).is_cpu() ? model::preferred_compute_type() : at::kBFloat16;
}

bool is_deterministic(const Options& options) {
  return device::parse(options.device).is_cpu() || options.deterministic.value_or(false);
}

const std::string& leading_format(const Options& options) {
  return options.outputs.empty() ? exporter::format_names().front() : options.outputs.front().format;
}

std::string format_names(const Options& options) {
  if (options.outputs.empty()) return leading_format(options);
  std::vector<std::string> formats;
  for (const Options::Output& output : options.outputs) formats.push_back(output.format);
  return join(formats, ", ");
}

std::string libtorch_version() {
  const auto& built_with = caffe2::GetBuildOptions();
  const auto version = built_with.find("TORCH_VERSION");
  return version == built_with.end() ? TORCH_VERSION : version->second;
}

quant::ScaleFormat scale_format(checkpoint::DType weights, const recipe::Recipe& recipe, const Options& options) {
  const std::string& leading = leading_format(options);
  const at::ScalarType type = exporter::scale_type(leading, weights, recipe.scale_dtype);
  float least = exporter::least_scale(leading);
  for (const Options::Output& output : options.outputs) {
    least = std::max(least, exporter::least_scale(output.format));
    if (exporter::scale_type(output.format, weights, recipe.scale_dtype) != type)
      fail(Code::invalid_argument, "scale_dtype",
           "the outputs " + leading + " and " + output.format +
               " store scales in different types; set scale_dtype in the recipe");
  }
  return {type, least};
}

}  // namespace autoround::session
