// What a run would do, before anything is done.
#include "base/file.hpp"
#include "base/json.hpp"
#include "device/device.hpp"
#include "exporter/exporter.hpp"
#include "model/compute_threads.hpp"
#include "modifier/cache_formats.hpp"
#include "session/memory_plan.hpp"
#include "session/predict.hpp"
#include "session/run_types.hpp"
#include "session/session.hpp"

namespace autoround::session {

std::string plan(const Model& model, const recipe::Recipe& recipe, const calibration::SampleSet* data,
                 const Options& options) {
  recipe.validate();
  const recipe::Assignment assignment = recipe::assign(recipe, model.modules(), model.log());

  const quant::ScaleFormat scales = scale_format(model.weight_type(), recipe, options);
  exporter::ExportPlan export_plan{model.checkpoint(), recipe, model.modules(),
                                   assignment,         {},     model.spec().tie_word_embeddings};
  Json layers = Json::array();
  for (const auto& entry : assignment.linears) {
    Json layer = {{"name", entry.module->name}, {"shape", entry.module->shape}};
    if (entry.group) {
      layer["scheme"] = recipe::describe(entry.scheme);
      export_plan.formats.emplace(entry.module->name, quant::weight_format(entry.scheme, scales));
    } else {
      layer["reason"] = entry.reason;
    }
    layers.push_back(std::move(layer));
  }
  export_plan.caches = modifier::cache_formats(recipe, model.spec(), scales.type);
  std::uint64_t disk_bytes = 0;
  const auto count = [&](const std::string& format) {
    const auto exporter = exporter::make_exporter(format);
    exporter->check(export_plan);
    disk_bytes += exporter->disk_bytes(export_plan);
  };
  if (options.outputs.empty()) count(leading_format(options));
  for (const Options::Output& output : options.outputs) count(output.format);
  const RunShape shape = run_shape(assignment, recipe, data, options);
  const device::Scope scope(shape.device);
  const model::ThreadCount threads(model.threads());
  const MemoryPlan memory = plan_memory(recipe, shape, export_plan.formats, options, [&](const MemoryMode& mode) {
    return predict_memory(model.spec(), recipe, shape, mode);
  });
  const double flops = measured_flops(model.spec().hidden_size, shape.element_bytes, shape.device);

  Json out = {{"architecture", model.spec().architecture},
              {"parameters", model.parameter_count()},
              {"bytes", model.checkpoint().byte_size()},
              {"format", format_names(options)},
              {"memory_bytes", memory.bytes},
              {"memory", memory_json(memory)},
              {"disk_bytes", disk_bytes},
              {"seconds", predict_seconds(recipe, shape, flops)}};
  if (!options.outputs.empty()) out["disk_free_bytes"] = free_disk_bytes(options.outputs.front().directory);
  out["layers"] = std::move(layers);
  return out.dump(2);
}

}  // namespace autoround::session
