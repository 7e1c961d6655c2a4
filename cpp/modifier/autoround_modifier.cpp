#include "modifier/autoround_modifier.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "quant/rounding.hpp"

namespace autoround::modifier {
namespace {

/// Round-to-nearest of weights that are not tuned: no data needed. Those given together share what readers share.
std::vector<quant::QuantizedWeight> round_to_nearest(const std::vector<const MatchedModule*>& modules,
                                                     const std::vector<at::Tensor>& weights) {
  std::vector<quant::RoundingState> states;
  for (std::size_t i = 0; i < modules.size(); ++i)
    states.push_back(quant::make_rounding_state(modules[i]->format, weights[i], /*tune_minmax=*/false,
                                                /*trainable=*/false));
  std::vector<quant::RoundingState*> sharing;
  for (quant::RoundingState& state : states) sharing.push_back(&state);
  quant::share_global_scale(sharing);
  std::vector<quant::QuantizedWeight> rounded;
  for (std::size_t i = 0; i < modules.size(); ++i)
    rounded.push_back(quant::quantize(states[i], modules[i]->module->name));
  return rounded;
}

}  // namespace

AutoRoundModifier::AutoRoundModifier(recipe::Recipe recipe) : recipe_(std::move(recipe)) { recipe_.validate(); }

void AutoRoundModifier::on_initialize(Run& run) {
  resolve(run);
  sequential_target_ = run.spec.layer_class;
  if (recipe_.iters > 0 && run.lengths.empty())
    fail(Code::invalid_argument, "calibration",
         "the recipe tunes for " + std::to_string(recipe_.iters) +
             " iterations and needs calibration data; `iters: 0` rounds to nearest without any");
  check_calibrated_inputs(run);
  if (recipe_.kv_cache_scheme) fail(Code::unsupported, "kv_cache_scheme", "quantizing the KV cache is not built in");
  if (recipe_.nblocks != 1)
    fail(Code::unsupported, "nblocks", "tuning several blocks at once is not built in; nblocks must be 1");
}

void AutoRoundModifier::resolve(const Run& run) {
  assignment_ = recipe::assign(recipe_, run.modules, run.log);
  const auto groups = recipe_.groups();
  matched_.clear();
  for (const auto& entry : assignment_.linears) {
    if (!entry.group) continue;
    const auto& scheme = groups[*entry.group].second;
    if (!scheme.weights) continue;  // UNQUANTIZED
    matched_.push_back({entry.module, *entry.group, quant::weight_format(scheme, run.scale_type)});
  }
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

std::map<std::string, quant::WeightFormat> AutoRoundModifier::formats() const {
  std::map<std::string, quant::WeightFormat> out;
  for (const MatchedModule& matched : matched_) out.emplace(matched.module->name, matched.format);
  return out;
}

void AutoRoundModifier::on_start(Run& run) {
  resolve(run);  // again, on what the model is now
  captures_.clear();
  for (const recipe::ModuleInfo& module : run.modules)
    if (module.class_name == sequential_target_)
      captures_.push_back(std::make_unique<InputCapture>(run.hooks, module.name));
  for (MatchedModule& matched : matched_) matched.status = Status::calibration;
}

std::optional<std::string> AutoRoundModifier::decoding_layer(const std::vector<std::string>& modules) const {
  std::vector<std::string> layers;
  for (const auto& capture : captures_)
    if (std::find(modules.begin(), modules.end(), capture->layer()) != modules.end())
      layers.push_back(capture->layer());
  if (layers.empty()) return std::nullopt;
  if (layers.size() > 1)
    fail(Code::invalid_argument, "module_names",
         "only one decoding layer is expected, found " + std::to_string(layers.size()));
  return layers.front();
}

void AutoRoundModifier::on_sequential_epoch_end(Run& run, const Subgraph& subgraph) {
  if (!decoding_layer(subgraph.modules)) return;
  apply_autoround(run, subgraph);
  post_autoround_cleanup(subgraph.layer->index());
}

void AutoRoundModifier::apply_autoround(Run& run, const Subgraph& subgraph) {
  model::DecoderLayer& layer = *subgraph.layer;
  const std::size_t block = layer.index();
  std::map<std::string, quant::WeightFormat> formats;
  for (const MatchedModule& matched : matched_)
    if (matched.module->block == static_cast<std::int64_t>(block))
      formats.emplace(matched.module->name, matched.format);

  if (!captured_input(block).defined()) {  // no calibration data: iters is 0
    last_block_ = {};
    for (const model::Projection* projection : layer.projections()) {
      std::vector<const MatchedModule*> modules;
      std::vector<at::Tensor> weights;
      for (const auto& part : projection->parts) {
        const auto matched = std::find_if(matched_.begin(), matched_.end(),
                                          [&](const MatchedModule& m) { return m.module->name == part.name; });
        if (matched == matched_.end()) continue;
        modules.push_back(&*matched);
        weights.push_back(projection->weight.narrow(0, part.row, part.rows));
      }
      for (quant::QuantizedWeight& weight : round_to_nearest(modules, weights)) run.on_weight(std::move(weight));
    }
    return;
  }

  const tuner::BlockData data = take_streams(run, subgraph);
  last_block_ = tuner::tune_block(
      layer, data, formats, tune_options(), run.cancel,
      [&](const tuner::Iteration& iteration) { run.on_iteration(block, iteration); }, run.log);
  for (quant::QuantizedWeight& weight : last_block_.weights) run.on_weight(std::move(weight));
  last_block_.weights.clear();
  q_input_ = std::exchange(last_block_.output, {});
}

/// Both sides of the layer that was reached. The result alone holds them: no stream is kept alive longer than its
/// block.
tuner::BlockData AutoRoundModifier::take_streams(const Run& run, const Subgraph& subgraph) {
  InputCapture& capture = *captures_.at(subgraph.layer->index());
  tuner::BlockData data;
  data.input = recipe_.enable_quanted_input && q_input_.defined() ? q_input_ : capture.input();
  data.target = capture.output();
  data.lengths = run.lengths;
  data.length = run.length;
  data.rope = subgraph.rope;
  capture.release();
  q_input_.reset();
  return data;
}

void AutoRoundModifier::restore_block(Run& run, const Subgraph& subgraph,
                                      const std::vector<quant::QuantizedWeight>& weights) {
  const std::size_t block = subgraph.layer->index();
  if (captured_input(block).defined())
    q_input_ = tuner::rerun_block(*subgraph.layer, take_streams(run, subgraph), weights, tune_options(), run.cancel);
  post_autoround_cleanup(block);
}

void AutoRoundModifier::post_autoround_cleanup(std::size_t block) {
  for (MatchedModule& matched : matched_)
    if (matched.module->block == static_cast<std::int64_t>(block)) matched.quantized = true;
}

void AutoRoundModifier::on_end(Run& run) {
  round_outside_blocks(run);
  for (MatchedModule& matched : matched_) matched.status = Status::frozen;
  captures_.clear();
  q_input_.reset();
}

/// lm_head, embeddings and what else lies outside the layers, when the recipe targets them: rounded to nearest, as no block loss covers them.
void AutoRoundModifier::round_outside_blocks(Run& run) {
  for (MatchedModule& matched : matched_) {
    if (matched.module->block >= 0) continue;
    run.cancel.throw_if_requested();
    std::string stored = matched.module->name + ".weight";
    if (!run.weights.has(stored)) stored = run.spec.embed_tokens() + ".weight";  // a tied head is untied here
    run.log.info(matched.module->name + ": rounded to nearest (outside the decoder layers)");
    for (quant::QuantizedWeight& weight : round_to_nearest({&matched}, {run.weights.load(stored, run.compute_type)}))
      run.on_weight(std::move(weight));
    matched.quantized = true;
  }
}

void AutoRoundModifier::on_finalize(Run&) {
  for (const MatchedModule& matched : matched_)
    if (!matched.quantized) fail(Code::internal, matched.module->name, "matched by the recipe but never quantized");
}

tuner::TuneOptions AutoRoundModifier::tune_options() const {
  tuner::TuneOptions options;
  options.iters = recipe_.iters;
  options.batch_size = recipe_.batch_size;
  options.gradient_accumulate_steps = recipe_.gradient_accumulate_steps;
  options.lr = recipe_.lr.value_or(0.0);
  options.minmax_lr = recipe_.minmax_lr.value_or(0.0);
  options.momentum = recipe_.momentum;
  options.dynamic_max_gap = recipe_.dynamic_max_gap;
  options.enable_minmax_tuning = recipe_.enable_minmax_tuning;
  options.not_use_best_mse = recipe_.not_use_best_mse;
  options.fused = recipe_.enable_torch_compile;
  options.rtn_on_nan = recipe_.on_nan == recipe::OnNan::rtn;
  options.seed = static_cast<std::uint64_t>(recipe_.seed);
  return options;
}

}  // namespace autoround::modifier
