#include "session/result.hpp"

#include <algorithm>
#include <limits>

#include "base/text.hpp"
#include "guard.hpp"

using namespace autoround::capi;
using autoround::Code;
using autoround::fail;
namespace ar = autoround;

namespace {

const ar::session::BlockStats* block_at(const autoround_result* result, size_t index) noexcept {
  return peek(result) && index < result->impl->blocks.size() ? &result->impl->blocks[index] : nullptr;
}
const ar::session::LayerStats* layer_at(const autoround_result* result, size_t index) noexcept {
  return peek(result) && index < result->impl->layers.size() ? &result->impl->layers[index] : nullptr;
}

at::Tensor part_of(const ar::quant::QuantizedWeight& weight, const std::string& part) {
  if (part == "weight") return ar::quant::dequantize(weight, at::kFloat);
  const std::pair<const char*, const at::Tensor&> parts[] = {
      {"qweight", weight.codes},
      {"scales", weight.scales},
      {"zero_points", weight.zero_points},
      {"global_scale", weight.global_scale},
      {"scale_factors", weight.super.scale_factors},
      {"minima", weight.super.minima},
      {"minimum_factors", weight.super.minimum_factors},
      {"input_scale", weight.input.scale},
      {"input_global_scale", weight.input.global_scale},
  };
  std::vector<std::string> names = {"weight"};
  for (const auto& [name, tensor] : parts) {
    if (part == name && tensor.defined()) return tensor;
    if (tensor.defined()) names.emplace_back(name);
  }
  fail(Code::not_found, part, weight.name + " has no part `" + part + "`; it has " + ar::join(names, ", "));
}

}  // namespace

size_t autoround_result_block_count(const autoround_result* result) noexcept {
  return peek(result) ? result->impl->blocks.size() : 0;
}
const char* autoround_result_block_name(const autoround_result* result, size_t block) noexcept {
  const auto* stats = block_at(result, block);
  return stats ? stats->name.c_str() : "";
}
double autoround_result_block_loss_before(const autoround_result* result, size_t block) noexcept {
  const auto* stats = block_at(result, block);
  return stats ? stats->rtn_loss : std::numeric_limits<double>::quiet_NaN();
}
double autoround_result_block_loss_after(const autoround_result* result, size_t block) noexcept {
  const auto* stats = block_at(result, block);
  return stats ? stats->loss : std::numeric_limits<double>::quiet_NaN();
}
int64_t autoround_result_block_best_iteration(const autoround_result* result, size_t block) noexcept {
  const auto* stats = block_at(result, block);
  return stats ? stats->best_iteration : -1;
}
double autoround_result_block_seconds(const autoround_result* result, size_t block) noexcept {
  const auto* stats = block_at(result, block);
  return stats ? stats->seconds : 0.0;
}

size_t autoround_result_layer_count(const autoround_result* result) noexcept {
  return peek(result) ? result->impl->layers.size() : 0;
}
const char* autoround_result_layer_name(const autoround_result* result, size_t layer) noexcept {
  const auto* stats = layer_at(result, layer);
  return stats ? stats->name.c_str() : "";
}
const char* autoround_result_layer_scheme(const autoround_result* result, size_t layer) noexcept {
  const auto* stats = layer_at(result, layer);
  return stats ? stats->scheme.c_str() : "";
}
const char* autoround_result_layer_reason(const autoround_result* result, size_t layer) noexcept {
  const auto* stats = layer_at(result, layer);
  return stats ? stats->reason.c_str() : "";
}

autoround_status autoround_result_layer_tensor(const autoround_result* result, size_t layer, const char* part,
                                               autoround_tensor** out, autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    const ar::session::Result& source = *deref(result, "result").impl;
    const std::string wanted = text(part, "part");
    if (layer >= source.layers.size())
      fail(Code::invalid_argument, "layer",
           "layer " + std::to_string(layer) + " of a result that has " + std::to_string(source.layers.size()));
    if (source.wrote_outputs)
      fail(Code::invalid_state, "result", "the run wrote its tensors to its output directories and let go of them");
    const std::string& name = source.layers[layer].name;
    const auto weight = std::find_if(source.tensors.begin(), source.tensors.end(),
                                     [&](const ar::quant::QuantizedWeight& w) { return w.name == name; });
    if (weight == source.tensors.end())
      fail(Code::not_found, name, name + " is not quantized: " + source.layers[layer].reason);
    *out = new_tensor(part_of(*weight, wanted));
  });
}

size_t autoround_result_warning_count(const autoround_result* result) noexcept {
  return peek(result) ? result->impl->warnings.size() : 0;
}
const char* autoround_result_warning(const autoround_result* result, size_t index) noexcept {
  return index < autoround_result_warning_count(result) ? result->impl->warnings[index].c_str() : "";
}

autoround_status autoround_result_report(const autoround_result* result, char** out, autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    *out = owned_string(deref(result, "result").impl->report_json);
  });
}
autoround_status autoround_result_report_html(const autoround_result* result, char** out,
                                              autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    *out = owned_string(deref(result, "result").impl->report_html());
  });
}
void autoround_result_free(autoround_result* result) noexcept {
  if (peek(result)) delete result;
}
