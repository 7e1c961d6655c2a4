#include "tuner/optimize.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "model/buffer_pool.hpp"
#include "tuner/block_loss.hpp"
#include "tuner/minibatch.hpp"
#include "tuner/quant_ops.hpp"
#include "tuner/recorded_loop.hpp"
#include "tuner/sampler.hpp"

namespace autoround::tuner {
namespace {

constexpr double outlier_share = 0.001;  // of the elements, where drops_outliers

/// What the block made of one micro-batch, recorded for the backward pass.
struct Forward {
  at::Tensor output, gradient;  // of the block; of the loss with respect to it
  double error = 0.0;           // sum of squares

  /// Nothing where no token came to a linear that is tuned: a routed expert.
  void backward() const {
    if (output.requires_grad()) output.backward(gradient);
  }
};

/// Which iteration's parameters to keep: those of the lowest minibatch loss so far, or just the last.
class BestIteration {
 public:
  explicit BestIteration(const TuneOptions& options) : options_(options) {}

  /// True when iteration `index` is the one to keep so far.
  bool observe(std::int64_t index, double loss) {
    const bool lower = loss < loss_;
    if (lower) loss_ = loss;
    const bool keep = options_.not_use_best_mse ? index == options_.iters - 1 : lower;
    if (keep) index_ = index;
    return keep;
  }
  /// True when the loss has not fallen for so long that iteration `index` and the rest are not worth running.
  bool stale(std::int64_t index) const {
    const auto gap = options_.dynamic_max_gap;
    return !options_.not_use_best_mse && gap > 0 && index - 1 - index_ >= gap;
  }
  double loss() const { return loss_; }
  std::int64_t index() const { return index_; }

 private:
  const TuneOptions& options_;
  double loss_ = std::numeric_limits<float>::max();
  std::int64_t index_ = -1;
};

}  // namespace

double real_elements(const BlockData& data, gsl::span<const std::int64_t> batch) {
  std::int64_t tokens = 0;
  for (const auto sample : batch) tokens += data.lengths[static_cast<std::size_t>(sample)];
  return static_cast<double>(std::max<std::int64_t>(tokens, 1) * data.target.size(1));
}

StepShape step_shape(const BlockData& data, const TuneOptions& options) {
  const auto samples = static_cast<std::int64_t>(data.lengths.size());
  StepShape shape;
  shape.samples = std::min(samples, options.step_samples());
  shape.micro_samples = std::min(shape.samples, options.pass_samples());
  // Every gradient is that of the mean over all elements of a step. auto-round takes the sum when it accumulates: the
  // same signs, from numbers that can leave the range of fp16 where scales are tuned.
  constexpr double gradient_scale = 1000.0;  // auto-round's; keeps gradients of small losses away from the subnormals
  shape.loss_scale =
      static_cast<float>(gradient_scale / static_cast<double>(shape.samples * data.length * data.target.size(1)));
  return shape;
}

Optimization optimize(const Block& block, RoundingStates& states, const BlockData& data, const TuneOptions& options,
                      double largest_loss, model::Ops& ops, const CancelToken& cancel,
                      const std::function<void(const Iteration&)>& on_iteration) {
  if (!data.input.is_cpu() && states.can_record())
    return optimize_recorded(block, states, data, options, largest_loss, ops, cancel, on_iteration);
  const StepShape shape = step_shape(data, options);
  const auto micro_samples = static_cast<std::size_t>(shape.micro_samples);

  IndexSampler sampler(static_cast<std::int64_t>(data.lengths.size()), shape.samples, options.seed);
  MinibatchReader reader(data, shape.micro_samples);
  QuantOps quant_ops(states, ops);
  model::BufferPool gradients;
  BestIteration best(options);
  Optimization result;

  const auto forward = [&](gsl::span<const std::int64_t> indices) {
    const Minibatch batch = reader.read(indices);
    const at::AutoGradMode record(true);
    at::Tensor output = block.forward(batch.input, batch.samples(), quant_ops);
    at::Tensor gradient = gradients.take_like(output);
    std::optional<Outliers> outliers;
    if (states.drops_outliers()) outliers.emplace(output, batch.target, batch.lengths, data.length, outlier_share);
    const double error = squared_error(output, batch.target, batch.lengths, data.length, &gradient, shape.loss_scale,
                                       outliers ? &*outliers : nullptr);
    return Forward{std::move(output), std::move(gradient), error};
  };

  for (std::int64_t index = 0; index < options.iters && !best.stale(index); ++index) {
    cancel.throw_if_requested();
    const auto batch = sampler.next();
    states.write_weights();

    // With gradient accumulation all micro-batches but the last only add to the gradients.
    double error = 0.0;
    auto rest = batch;
    for (; rest.size() > micro_samples; rest = rest.subspan(micro_samples)) {
      const Forward pass = forward(rest.first(micro_samples));
      error += pass.error;
      states.begin({.first = rest.size() == batch.size(), .last = false, .is_best = false});
      pass.backward();
    }
    const Forward pass = forward(rest);
    const double loss = (error + pass.error) / real_elements(data, batch);
    result.losses.push_back(static_cast<float>(loss));
    result.diverged = !std::isfinite(loss) || loss > largest_loss;
    if (result.diverged) break;

    // Known before the step, so that the update itself keeps the codes of the best parameters: V is never copied.
    const bool is_best = best.observe(index, loss);
    states.begin({.first = rest.size() == batch.size(), .last = true, .is_best = is_best});
    pass.backward();
    states.finish_step();
    states.advance();
    if (on_iteration) on_iteration({index, loss, best.loss(), best.index()});
  }
  result.best_iteration = best.index();
  return result;
}

}  // namespace autoround::tuner
