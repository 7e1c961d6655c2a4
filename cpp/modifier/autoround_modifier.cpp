#include "modifier/autoround_modifier.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "base/text.hpp"
#include "model/mapped_memory.hpp"
#include "modifier/cache_formats.hpp"
#include "modifier/tune_options.hpp"

namespace autoround::modifier {

AutoRoundModifier::AutoRoundModifier(recipe::Recipe recipe) : recipe_(std::move(recipe)) { recipe_.validate(); }

void AutoRoundModifier::on_initialize(Run& run) {
  resolve(run);
  sequential_target_ = run.spec.layer_class;
  if (recipe_.iters > 0 && run.lengths.empty())
    fail(Code::invalid_argument, "calibration",
         "the recipe tunes for " + std::to_string(recipe_.iters) +
             " iterations and needs calibration data; `iters: 0` rounds to nearest without any");
  check_calibrated_inputs(run);
  check_tuning();
  caches_ = cache_formats(recipe_, run.spec, run.scales.type);
  if (!caches_.empty() && run.lengths.empty())
    fail(Code::invalid_argument, "calibration", "the KV cache has static scales, which only calibration data can give");
}

void AutoRoundModifier::resolve(const Run& run) {
  assignment_ = recipe::assign(recipe_, run.modules, run.log);
  matched_.clear();
  for (const auto& entry : assignment_.linears)
    if (entry.group) matched_.push_back({entry.module, entry.scheme, quant::weight_format(entry.scheme, run.scales)});
  if (matched_.empty()) fail(Code::invalid_argument, "targets", "the recipe quantizes no module of this model");
}

/// Static scales of inputs come from calibration data that runs through the decoder layers.
void AutoRoundModifier::check_calibrated_inputs(const Run& run) const {
  for (const MatchedModule& matched : matched_) {
    if (!matched.format.input || !matched.format.input->needs_calibration()) continue;
    if (run.lengths.empty())
      fail(Code::invalid_argument, "calibration",
           "the input of " + matched.module->name + " has a static scale, which only calibration data can give");
    if (matched.module->block < 0)
      fail(Code::unsupported, matched.module->name,
           "its input has a static scale, which is calibrated for modules of decoder layers only; leave it unquantized "
           "or "
           "give it weight-only quantization");
  }
}

/// SignRoundV2 knows no asymmetric integers and no FP8, momentum nothing but integers. auto-round tunes such a model
/// without SignRoundV2 and says nothing.
void AutoRoundModifier::check_tuning() const {
  for (const MatchedModule& matched : matched_)
    if (matched.module->block >= 0)
      modifier::check_tuning(recipe_, matched.module->name, matched.scheme, matched.format);
}

std::map<std::string, quant::WeightFormat> AutoRoundModifier::formats() const {
  std::map<std::string, quant::WeightFormat> out;
  for (const MatchedModule& matched : matched_) out.emplace(matched.module->name, matched.format);
  return out;
}

void AutoRoundModifier::on_start(Run& run) {
  resolve(run);  // again, on what the model is now
  layers_.clear();
  for (const recipe::ModuleInfo& module : run.modules)
    if (module.class_name == sequential_target_) layers_.push_back(module.name);
  captures_.clear();
  for (std::size_t first = 0; first < layers_.size(); first += block_layers()) {
    const std::size_t last = std::min(first + block_layers(), layers_.size()) - 1;
    captures_.push_back(std::make_unique<InputCapture>(run.hooks, layers_[first], layers_[last]));
  }
  for (MatchedModule& matched : matched_) matched.status = Status::calibration;
}

std::optional<std::size_t> AutoRoundModifier::decoding_block(const std::vector<std::string>& modules) const {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < layers_.size(); ++i)
    if (std::find(modules.begin(), modules.end(), layers_[i]) != modules.end()) found.push_back(i);
  if (found.empty()) return std::nullopt;
  const std::size_t first = found.front() / block_layers() * block_layers();
  const std::size_t count = std::min(block_layers(), layers_.size() - first);
  // In order and each once, so that the first and the number of them say it all.
  if (found.front() != first || found.back() != first + found.size() - 1 || found.size() != count)
    fail(Code::invalid_argument, "module_names",
         concat({block_layers() == 1 ? "only one decoding layer is expected"
                                     : concat({"the ", std::to_string(count), " decoding layers from ", layers_[first],
                                               " on are expected"}),
                 ", found ", std::to_string(found.size())}));
  return first;
}

void AutoRoundModifier::on_sequential_epoch_end(Run& run, const Subgraph& subgraph) {
  if (!decoding_block(subgraph.modules)) return;
  apply_autoround(run, subgraph);
  post_autoround_cleanup(subgraph);
}

void AutoRoundModifier::apply_autoround(Run& run, const Subgraph& subgraph) {
  const tuner::DecoderBlock block(subgraph.layers);
  const std::map<std::string, quant::WeightFormat> formats = this->formats();
  // Without calibration data iters is 0, and nothing says which errors matter.
  if (!captured_input(subgraph.block()).defined()) {
    last_block_ = {};
    for (quant::QuantizedWeight& weight : tuner::round_block(block, formats)) run.on_weight(std::move(weight));
    return;
  }

  const tuner::BlockData data = take_streams(run, subgraph, formats);
  last_block_ = tuner::tune_block(block, data, formats, tuning(run), run.cancel, run.on_iteration, run.log);
  for (quant::QuantizedWeight& weight : last_block_.weights) run.on_weight(std::move(weight));
  last_block_.weights.clear();
  for (std::size_t i = 0; i < last_block_.cache.size(); ++i) {
    const std::string attention = attention_name(run.spec, subgraph.layers.at(i).layer->index());
    run.on_cache(quant::cache_scales(caches_.at(attention), attention, last_block_.cache[i]));
  }
  q_input_ = std::exchange(last_block_.output, {});
}

tuner::TuneOptions AutoRoundModifier::tuning(const Run& run) const {
  return tune_options(recipe_, run.micro_batch, run.deterministic);
}

/// Both sides of the block that was reached, and what searched scales of `formats` are weighed with. The result alone
/// holds them: no stream is kept alive longer than its block.
tuner::BlockData AutoRoundModifier::take_streams(const Run& run, const Subgraph& subgraph,
                                                 const std::map<std::string, quant::WeightFormat>& formats) {
  InputCapture& capture = *captures_.at(subgraph.block() / block_layers());
  tuner::BlockData data;
  data.input = capture.input();
  data.target = capture.output();
  data.lengths = run.lengths;
  data.length = run.length;
  data.streams = run.streams;
  data.importance =
      tuner::measure_importance(tuner::DecoderBlock(subgraph.layers), data, formats, tuning(run), run.cancel);
  if (recipe_.enable_quanted_input && q_input_.defined()) data.input = q_input_;
  capture.release();
  q_input_.reset();
  return data;
}

void AutoRoundModifier::restore_block(Run& run, const Subgraph& subgraph,
                                      const std::vector<quant::QuantizedWeight>& weights) {
  if (captured_input(subgraph.block()).defined())
    q_input_ = tuner::rerun_block(tuner::DecoderBlock(subgraph.layers), take_streams(run, subgraph, {}), weights,
                                  tuning(run), run.cancel);
  post_autoround_cleanup(subgraph);
}

void AutoRoundModifier::post_autoround_cleanup(const Subgraph& subgraph) {
  const auto first = static_cast<std::int64_t>(subgraph.block());
  const auto end = first + static_cast<std::int64_t>(subgraph.layers.size());
  for (MatchedModule& matched : matched_)
    if (matched.module->block >= first && matched.module->block < end) matched.quantized = true;
}

void AutoRoundModifier::on_end(Run& run) {
  round_outside_blocks(run);
  for (MatchedModule& matched : matched_) matched.status = Status::frozen;
  release();
}

void AutoRoundModifier::release() noexcept {
  captures_.clear();
  q_input_.reset();
  last_block_ = {};
}

/// lm_head, embeddings and what else lies outside the layers, when the recipe targets them: rounded to nearest, as no
/// block loss covers them.
void AutoRoundModifier::round_outside_blocks(Run& run) {
  for (MatchedModule& matched : matched_) {
    if (matched.module->block >= 0) continue;
    run.cancel.throw_if_requested();
    std::string stored = matched.module->name + ".weight";
    if (!run.weights.has(stored)) stored = run.spec.embed_tokens() + ".weight";  // a tied head is untied here
    run.log.info(matched.module->name + ": rounded to nearest (outside the decoder layers)");
    model::Projection projection;
    projection.weight = model::lasting_tensor(matched.module->shape, run.compute_type, run.weights.device());
    run.weights.load_into(stored, projection.weight);
    projection.parts = {{.name = matched.module->name, .rows = projection.weight.size(0)}};
    const tuner::LinearBlock block(projection);
    for (quant::QuantizedWeight& weight : tuner::round_block(block, {{matched.module->name, matched.format}}))
      run.on_weight(std::move(weight));
    matched.quantized = true;
  }
}

void AutoRoundModifier::on_finalize(Run&) {
  for (const MatchedModule& matched : matched_)
    if (!matched.quantized) fail(Code::internal, matched.module->name, "matched by the recipe but never quantized");
}

}  // namespace autoround::modifier
