#include "session/report.hpp"

#include <ATen/Parallel.h>

#include <cstdio>

#include "base/json.hpp"
#include "base/version.hpp"
#include "session/data.hpp"
#include "session/run_types.hpp"

namespace autoround::session {
namespace {

Json layer_json(const LayerStats& layer) {
  Json out = {{"name", layer.name}, {"shape", layer.shape}};
  if (layer.scheme.empty()) {
    out["reason"] = layer.reason;
  } else {
    out["scheme"] = layer.scheme;
    out["bits_per_weight"] = layer.bits_per_weight;
  }
  return out;
}

/// Mean over the quantized weights.
double mean_bits(const std::vector<LayerStats>& layers) {
  double bits = 0.0, weights = 0.0;
  for (const LayerStats& layer : layers) {
    if (layer.scheme.empty() || layer.shape.size() != 2) continue;
    const double count = static_cast<double>(layer.shape[0]) * static_cast<double>(layer.shape[1]);
    bits += layer.bits_per_weight * count;
    weights += count;
  }
  return weights > 0 ? bits / weights : 0.0;
}

}  // namespace

std::vector<LayerStats> layer_stats(const recipe::Assignment& assignment) {
  std::vector<LayerStats> out;
  for (const auto& entry : assignment.linears) {
    LayerStats layer;
    layer.name = entry.module->name;
    layer.shape = entry.module->shape;
    if (entry.group)
      layer.scheme = recipe::describe(entry.scheme);
    else
      layer.reason = entry.reason;
    out.push_back(std::move(layer));
  }
  return out;
}

double bits_per_weight(const quant::QuantizedWeight& weight) {
  const quant::WeightFormat& format = weight.format;
  const double weights = static_cast<double>(weight.codes.numel());
  const double scale_bits = 8.0 * static_cast<double>(c10::elementSize(format.scale_type));
  const double scales = static_cast<double>(weight.scales.numel());
  if (format.has_super_groups()) {
    const double factors = static_cast<double>(weight.super.scale_factors.numel());
    const double parts = format.symmetric ? 1.0 : 2.0;  // scales, and minima
    return format.bits + parts * (scales * scale_bits + factors * format.super_bits) / weights;
  }
  const double zero_bits = format.symmetric ? 0.0 : format.bits;
  return format.bits + scales * (scale_bits + zero_bits) / weights;
}

std::int64_t peak_memory_bytes() {
  std::FILE* status = std::fopen("/proc/self/status", "re");
  if (!status) return 0;
  char line[256];
  long long kilobytes = 0;
  while (std::fgets(line, sizeof line, status))
    if (std::sscanf(line, "VmHWM: %lld kB", &kilobytes) == 1) break;
  std::fclose(status);
  return kilobytes * 1024;
}

std::string report_json(const RunFacts& facts, const recipe::Recipe& recipe, const Options& options,
                        const Result& result, const Stopwatch& clock) {
  Json outputs = Json::array();
  for (const Options::Output& output : options.outputs)
    outputs.push_back({{"directory", output.directory}, {"format", output.format}});
  Json blocks = Json::array(), layers = Json::array();
  for (const BlockStats& block : result.blocks) blocks.push_back(block_json(block));
  for (const LayerStats& layer : result.layers) layers.push_back(layer_json(layer));

  const Json report = {
      {"libautoround", version_string},
      {"libtorch", libtorch_version()},
      {"device", options.device},
      {"threads", at::get_num_threads()},
      {"model",
       {{"directory", facts.directory},
        {"architecture", facts.architecture},
        {"parameters", facts.parameters},
        {"bytes", facts.bytes}}},
      {"calibration",
       {{"samples", facts.samples}, {"sequence_length", facts.sequence_length}, {"tokens", facts.tokens}}},
      {"outputs", std::move(outputs)},
      {"output_bytes", facts.output_bytes},
      {"bits_per_weight", mean_bits(result.layers)},
      {"seconds", clock.seconds()},
      {"io", {{"reading_seconds", result.io.reading}, {"writing_seconds", result.io.writing}}},
      {"resumed_blocks", result.resumed_blocks},
      {"peak_memory_bytes", peak_memory_bytes()},
      {"memory", memory_json(result.memory)},
      {"warnings", result.warnings},
      {"recipe", recipe.dump(recipe::Syntax::toml)},
      {"blocks", std::move(blocks)},
      {"layers", std::move(layers)},
  };
  return report.dump(2, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

std::string report_json(const Model& model, const recipe::Recipe& recipe, const Options& options,
                        const calibration::SampleSet* data, std::size_t samples, const Result& result,
                        std::uint64_t output_bytes, const Stopwatch& clock) {
  const RunFacts facts = {.directory = model.checkpoint().given_directory(),
                          .architecture = model.spec().architecture,
                          .parameters = model.parameter_count(),
                          .bytes = model.checkpoint().byte_size(),
                          .samples = samples,
                          .sequence_length = data ? data->sequence_length() : 0,
                          .tokens = samples > 0 ? real_tokens(*data, samples) : 0,
                          .output_bytes = output_bytes};
  return report_json(facts, recipe, options, result, clock);
}

std::string Result::report_html() const { return session::report_html(report_json); }

}  // namespace autoround::session
