#include "session/run_types.hpp"

#include "exporter/exporter.hpp"

namespace autoround::session {

at::ScalarType compute_type(const Options& options) {
  if (options.compute_dtype == "bf16") return at::kBFloat16;
  if (options.compute_dtype == "fp32") return at::kFloat;
  return model::preferred_compute_type();
}

const std::string& leading_format(const Options& options) {
  return options.outputs.empty() ? exporter::format_names().front() : options.outputs.front().format;
}

at::ScalarType scale_type(const Model& model, const recipe::Recipe& recipe, const Options& options) {
  const std::string& leading = leading_format(options);
  const at::ScalarType type = exporter::scale_type(leading, model.weight_type(), recipe.scale_dtype);
  for (const Options::Output& output : options.outputs)
    if (exporter::scale_type(output.format, model.weight_type(), recipe.scale_dtype) != type)
      fail(Code::invalid_argument, "scale_dtype",
           "the outputs " + leading + " and " + output.format +
               " store scales in different types; set scale_dtype in the recipe");
  return type;
}

}  // namespace autoround::session
