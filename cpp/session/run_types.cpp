#include "session/run_types.hpp"

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

at::ScalarType scale_type(checkpoint::DType weights, const recipe::Recipe& recipe, const Options& options) {
  const std::string& leading = leading_format(options);
  const at::ScalarType type = exporter::scale_type(leading, weights, recipe.scale_dtype);
  for (const Options::Output& output : options.outputs)
    if (exporter::scale_type(output.format, weights, recipe.scale_dtype) != type)
      fail(Code::invalid_argument, "scale_dtype",
           "the outputs " + leading + " and " + output.format +
               " store scales in different types; set scale_dtype in the recipe");
  return type;
}

}  // namespace autoround::session
