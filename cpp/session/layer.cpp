#include "session/layer.hpp"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.hpp"
#include "base/text.hpp"
#include "device/device.hpp"
#include "model/compute_threads.hpp"
#include "model/mapped_memory.hpp"
#include "model/weight_source.hpp"
#include "modifier/tune_options.hpp"
#include "recipe/matching.hpp"
#include "session/events.hpp"
#include "session/predict.hpp"
#include "session/report.hpp"
#include "session/run_types.hpp"

namespace autoround::session {
namespace {

constexpr double no_loss = std::numeric_limits<double>::quiet_NaN();

std::string shape_text(const at::Tensor& tensor) { return checkpoint::shape_text(tensor.sizes().vec()); }

/// "[3, 17]": where element `index` of a tensor stands.
std::string place_text(const at::Tensor& tensor, std::int64_t index) {
  std::vector<std::int64_t> place(static_cast<std::size_t>(tensor.dim()));
  for (std::size_t dim = place.size(); dim-- > 0;) {
    const std::int64_t size = tensor.size(static_cast<std::int64_t>(dim));
    place[dim] = index % size;
    index /= size;
  }
  return checkpoint::shape_text(place);
}

/// Host memory, a type that can be computed with, finite values.
at::Tensor checked_values(const at::Tensor& tensor, const std::string& name, std::string_view what) {
  const auto type = tensor.scalar_type();
  if (type != at::kFloat && type != at::kHalf && type != at::kBFloat16)
    fail(Code::unsupported, name,
         concat({what, " of `", name, "` has elements of type ", c10::toString(type),
                 "; F32, F16 and BF16 can be computed with"}));
  if (!tensor.is_cpu()) fail(Code::unsupported, name, concat({what, " of `", name, "` is not in host memory"}));
  at::Tensor values = tensor.contiguous();
  if (const auto bad = model::first_nonfinite(values))
    fail(Code::numeric, name, concat({what, " of `", name, "` is NaN or infinite at ", place_text(values, *bad)}));
  return values;
}

}  // namespace

Layer::Layer(std::string name, at::Tensor weight, at::Tensor bias, Logger log, int threads)
    : name_(std::move(name)), log_(std::move(log)), threads_(threads) {
  if (name_.empty()) fail(Code::invalid_argument, "name", "a layer needs a name, which the recipe's targets can match");
  if (weight.dim() != 2 || weight.numel() == 0)
    fail(Code::invalid_argument, name_,
         concat({"the weight of `", name_, "` has shape ", shape_text(weight), "; wanted [out, in]"}));
  weight_ = checked_values(weight, name_, "the weight");
  if (!bias.defined()) return;
  if (bias.dim() != 1 || bias.size(0) != out())
    fail(Code::invalid_argument, name_,
         concat({"the bias of `", name_, "` has shape ", shape_text(bias), "; wanted [", std::to_string(out()), "]"}));
  bias_ = checked_values(bias, name_, "the bias");
}

at::Tensor Layer::rows(const at::Tensor& given, std::int64_t width, const char* what) const {
  if ((given.dim() != 2 && given.dim() != 3) || given.numel() == 0 || given.size(-1) != width) {
    const std::string columns = std::to_string(width);
    fail(Code::invalid_argument, name_,
         concat({what, " of `", name_, "` has shape ", shape_text(given), "; wanted [tokens, ", columns,
                 "] or [samples, tokens, ", columns, "]"}));
  }
  return checked_values(given, name_, what).view({-1, width});
}

void Layer::add_inputs(const at::Tensor& inputs, const at::Tensor& targets) {
  Samples samples;
  samples.inputs = rows(inputs, in(), "an input");
  samples.tokens = inputs.size(-2);
  samples.count = samples.inputs.size(0) / samples.tokens;
  if (!samples_.empty() && samples_.front().targets.defined() != targets.defined())
    fail(Code::invalid_argument, name_,
         concat({"`", name_, "` has inputs with and without targets; give them for all or for none"}));
  if (targets.defined()) {
    samples.targets = rows(targets, out(), "a target");
    if (targets.dim() != inputs.dim() || targets.size(0) != inputs.size(0) || targets.size(-2) != inputs.size(-2))
      fail(Code::invalid_argument, name_,
           concat({"targets of shape ", shape_text(targets), " for inputs of shape ", shape_text(inputs), " of `",
                   name_, "`; all sizes but the last are the same"}));
  }
  samples_.push_back(std::move(samples));
}

std::int64_t Layer::sample_count() const noexcept {
  std::int64_t count = 0;
  for (const Samples& samples : samples_) count += samples.count;
  return count;
}

std::int64_t Layer::token_count() const noexcept {
  std::int64_t tokens = 0;
  for (const Samples& samples : samples_) tokens += samples.count * samples.tokens;
  return tokens;
}

std::int64_t Layer::longest_sample() const noexcept {
  std::int64_t longest = 0;
  for (const Samples& samples : samples_) longest = std::max(longest, samples.tokens);
  return longest;
}

/// Everything that can be refused before work begins.
void Layer::check_run(const recipe::Recipe& recipe, const quant::WeightFormat& format, const Options& options) const {
  if (!options.outputs.empty() || options.resume)
    fail(Code::invalid_argument, "options",
         "a layer's tensors are in its result: there is no output directory to write");
  if (recipe.kv_cache_scheme) fail(Code::unsupported, "kv_cache_scheme", "a linear layer has no KV cache");
  if (samples_.empty() && recipe.iters > 0)
    fail(Code::invalid_argument, name_,
         concat({"the recipe tunes for ", std::to_string(recipe.iters), " iterations and needs inputs of `", name_,
                 "`; `iters: 0` rounds to nearest without any"}));
  if (samples_.empty() && format.input && format.input->needs_calibration())
    fail(Code::invalid_argument, name_,
         concat({"the input of `", name_, "` has a static scale, which only inputs can give"}));
}

RunShape Layer::shape(const Options& options) const {
  RunShape shape;
  shape.device = compute_device(options);
  shape.samples = sample_count();
  shape.length = longest_sample();
  shape.element_bytes = static_cast<std::int64_t>(c10::elementSize(compute_type(options)));
  shape.tuned_weights = shape.tuned_weights_total = weight_.numel();
  shape.resident = resident_bytes();
  return shape;
}

MemoryPlan Layer::memory(const recipe::Recipe& recipe, const std::map<std::string, quant::WeightFormat>& formats,
                         const Options& options) const {
  RunShape shape = this->shape(options);
  shape.rounds_inputs = formats.at(name_).input.has_value();
  return plan_memory(recipe, shape, formats, options,
                     [&](const MemoryMode& mode) { return predict_layer_memory(out(), in(), recipe, shape, mode); });
}

/// One stream of all samples, the shorter ones padded. What came in one call and in the right type is used as it is.
at::Tensor Layer::stream(at::Tensor Samples::*part, at::ScalarType type, const model::StreamArena& streams) const {
  const at::Tensor& first = samples_.front().*part;
  if (samples_.size() == 1 && first.scalar_type() == type) return first;
  const std::int64_t length = longest_sample(), width = first.size(1);
  at::Tensor all = streams.take({sample_count() * length, width}, type, at::kCPU);
  std::int64_t row = 0;
  for (const Samples& samples : samples_) {
    for (std::int64_t i = 0; i < samples.count; ++i, row += length) {  // one call may bring the whole stream
      const at::Tensor rows = all.narrow(0, row, length);
      rows.narrow(0, 0, samples.tokens).copy_((samples.*part).narrow(0, i * samples.tokens, samples.tokens));
      rows.narrow(0, samples.tokens, length - samples.tokens).zero_();
      streams.rest(rows);
    }
  }
  return all;
}

tuner::BlockData Layer::data(const tuner::Block& block, const std::map<std::string, quant::WeightFormat>& formats,
                             const tuner::TuneOptions& tuning, model::StreamArena streams,
                             const Options& options) const {
  const at::ScalarType compute = compute_type(options);
  const at::Device device = compute_device(options);
  tuner::BlockData data;
  data.streams = std::move(streams);
  data.length = longest_sample();
  for (const Samples& samples : samples_)
    data.lengths.insert(data.lengths.end(), static_cast<std::size_t>(samples.count), samples.tokens);
  data.input = stream(&Samples::inputs, compute, data.streams).to(device);
  if (samples_.front().targets.defined()) {
    data.target = stream(&Samples::targets, compute, data.streams).to(device);
  } else {
    const auto ops = model::make_ops(data.input.device(), tuning.arithmetic);
    data.target =
        tuner::run_block(block, data.input, data.length, tuning.pass_samples(), *ops, *options.cancel, data.streams);
  }
  data.importance = tuner::measure_importance(block, data, formats, tuning, *options.cancel);
  return data;
}

/// Tuned, or without inputs rounded to nearest.
tuner::BlockResult Layer::quantize(const std::map<std::string, quant::WeightFormat>& formats,
                                   const recipe::Recipe& recipe, const MemoryPlan& memory, const Options& options,
                                   const std::function<void(const tuner::Iteration&)>& on_iteration) const {
  const at::ScalarType compute = compute_type(options);
  model::Projection projection;
  const at::Device device = compute_device(options);
  projection.weight = weight_.to(device, compute);
  if (bias_.defined()) projection.bias = bias_.to(device, compute);
  projection.parts = {{.name = name_, .rows = out()}};
  const tuner::LinearBlock block(projection);
  if (samples_.empty()) {
    tuner::BlockResult rounded;
    rounded.weights = tuner::round_block(block, formats);
    rounded.rtn_loss = rounded.loss = no_loss;
    return rounded;
  }
  const tuner::TuneOptions tuning = modifier::tune_options(recipe, memory.mode.micro_batch);
  const auto widest = static_cast<std::uint64_t>(sample_count() * longest_sample() * std::max(in(), out()));
  model::StreamArena streams =
      make_streams(memory, options, most_streams(/*layers=*/1), widest * c10::elementSize(compute), log_);
  return tuner::tune_block(block, data(block, formats, tuning, std::move(streams), options), formats, tuning,
                           *options.cancel, on_iteration, log_);
}

RunFacts Layer::facts() const {
  RunFacts facts;
  facts.architecture = "Linear";
  for (const at::Tensor& tensor : {weight_, bias_}) {
    if (!tensor.defined()) continue;
    facts.parameters += tensor.numel();
    facts.bytes += tensor.nbytes();
  }
  facts.samples = static_cast<std::size_t>(sample_count());
  facts.sequence_length = longest_sample();
  facts.tokens = token_count();
  return facts;
}

std::shared_ptr<const Result> Layer::tune(recipe::Recipe recipe, Options options) const {
  const device::Scope scope(compute_device(options));
  const model::ThreadCount threads(threads_);
  const model::KeptMemory::Scope memory_of_this_run;
  const c10::InferenceMode off(false);  // the host's may be on, and its tensors could not be saved for backward
  const Stopwatch clock;
  if (options.seed) recipe.seed = *options.seed;
  if (!options.cancel) options.cancel = std::make_shared<CancelToken>();
  options.cancel->throw_if_requested();
  recipe.validate();
  const recipe::QuantizationScheme scheme =
      recipe::scheme_of(recipe, {.name = name_, .class_name = "Linear", .block = 0, .shape = weight_.sizes().vec()});
  const quant::ScaleFormat scales = scale_format(model::disk_type(weight_.scalar_type()), recipe, options);
  const std::map<std::string, quant::WeightFormat> formats = {{name_, quant::weight_format(scheme, scales)}};
  modifier::check_tuning(recipe, name_, scheme, formats.at(name_));
  check_run(recipe, formats.at(name_), options);
  auto result = std::make_shared<Result>();
  result->memory = memory(recipe, formats, options);
  check_memory(result->memory);

  const auto progress = [&](const char* stage, double fraction) {
    emit(options, {.kind = EventKind::progress, .fraction = fraction, .name = stage, .loss = no_loss});
  };
  const auto tell = [&](EventKind kind, double fraction, std::int64_t iteration, double loss) {
    emit(options, {kind, fraction, /*block=*/0, name_, iteration, loss, {}});
  };
  progress("start", 0.0);
  tell(EventKind::block_begin, 0.0, -1, no_loss);
  tuner::BlockResult tuned = quantize(formats, recipe, result->memory, options, [&](const tuner::Iteration& it) {
    tell(EventKind::iteration, static_cast<double>(it.index + 1) / static_cast<double>(recipe.iters), it.index,
         it.loss);
  });

  result->layers.push_back(
      {name_, recipe::describe(scheme), "", weight_.sizes().vec(), bits_per_weight(tuned.weights.front())});
  result->tensors = std::move(tuned.weights);
  if (tuned.fell_back)
    result->warnings.push_back(name_ + ": the loss was not finite; rounded to nearest instead (on_nan: rtn)");
  result->blocks.push_back({name_, tuned.rtn_loss, tuned.loss, tuned.best_iteration, tuned.seconds,
                            std::move(tuned.losses), tuned.fell_back});
  tell(EventKind::block_end, 1.0, tuned.best_iteration, tuned.loss);
  result->report_json = report_json(facts(), recipe, options, *result, clock);
  progress("finish", 1.0);
  return result;
}

}  // namespace autoround::session
