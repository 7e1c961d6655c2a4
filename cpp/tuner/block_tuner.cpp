#include "tuner/block_tuner.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <gsl/assert>
#include <gsl/span>
#include <limits>
#include <numeric>

#include "base/error.hpp"
#include "base/stopwatch.hpp"
#include "base/text.hpp"
#include "quant/input_ops.hpp"
#include "tuner/block_loss.hpp"
#include "tuner/cache_observer.hpp"
#include "tuner/expert_count.hpp"
#include "tuner/optimize.hpp"
#include "tuner/quant_ops.hpp"
#include "tuner/rounding_states.hpp"

namespace autoround::tuner {
namespace {

void check(const TuneOptions& options) {
  const auto want = [](bool holds, const char* key, const char* sentence) {
    if (!holds) fail(Code::invalid_argument, key, sentence);
  };
  want(options.iters >= 0, "iters", "is negative; 0 means round-to-nearest");
  want(options.batch_size > 0, "batch_size", "must be at least 1");
  want(options.gradient_accumulate_steps > 0, "gradient_accumulate_steps", "must be at least 1");
  want(options.lr >= 0.0 && options.minmax_lr >= 0.0, "lr", "a learning rate is negative; 0 means 1/iters");
  want(options.momentum >= 0.0 && options.momentum < 1.0, "momentum", "must be at least 0 and below 1");
}

void check(const BlockData& data) {
  Expects(!data.lengths.empty() && data.length > 0);
  Expects(data.input.dim() == 2 && data.input.is_contiguous() && data.target.dim() == 2);
  Expects(data.target.is_contiguous() && data.input.size(0) == data.target.size(0));
  Expects(data.input.size(0) == static_cast<std::int64_t>(data.lengths.size()) * data.length);
}

/// Mean squared error of a whole stream on its real tokens, `batch` samples at a time; undefined: of zeros.
double mean_error(const at::Tensor& output, const BlockData& data, std::int64_t batch) {
  const gsl::span<const std::int64_t> lengths(data.lengths);
  const auto samples = static_cast<std::int64_t>(lengths.size());
  double sum = 0.0;
  for (std::int64_t first = 0; first < samples; first += batch) {
    const std::int64_t count = std::min(batch, samples - first);
    const auto rows = [&](const at::Tensor& x) { return x.narrow(0, first * data.length, count * data.length); };
    const at::Tensor wanted = rows(data.target), made = output.defined() ? rows(output) : at::zeros_like(wanted);
    sum += squared_error(made, wanted, lengths.subspan(first, count), data.length);
    data.streams.rest(made);
    data.streams.rest(wanted);
  }
  const auto tokens = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  return sum / static_cast<double>(std::max<std::int64_t>(tokens, 1) * data.target.size(1));
}

/// A loss above it has diverged: minibatches differ from the mean by orders of magnitude less than the factor, and
/// where rounding to nearest changes next to nothing, as of weights that were quantized before, it is worse than a
/// block that computes nothing.
double largest_loss(double rtn_loss, const BlockData& data, std::int64_t batch) {
  constexpr double factor = 1e4;
  const bool adds = data.input.sizes() == data.target.sizes();  // to a stream, as layers of a model do
  const double of_nothing = mean_error(adds ? data.input : at::Tensor(), data, batch);
  const double largest = std::max(factor * rtn_loss, of_nothing);
  return largest > 0.0 ? largest : std::numeric_limits<double>::max();
}

/// Weights to choose from, with what the block makes of them.
struct Candidate {
  std::vector<quant::QuantizedWeight> weights;
  at::Tensor output;
  double loss = 0.0;
};

std::string divergence(const Optimization& run, double rtn_loss) {
  return "loss is " + format_number(run.losses.back()) + " at iteration " + std::to_string(run.losses.size() - 1) +
         ", round-to-nearest has " + format_number(rtn_loss) + ": tuning diverged";
}

}  // namespace

BlockResult tune_block(const Block& block, const BlockData& data,
                       const std::map<std::string, quant::WeightFormat>& formats, const TuneOptions& options,
                       const CancelToken& cancel, const std::function<void(const Iteration&)>& on_iteration,
                       const Logger& log) {
  check(options);
  check(data);
  const Stopwatch watch;
  const at::NoGradGuard no_grad;  // only the forward passes of the loop record
  const auto chosen_ops = model::make_ops(data.input.device(), options.arithmetic);
  model::Ops& ops = *chosen_ops;
  const auto run = [&](model::Ops& with) {
    return run_block(block, data.input, data.length, options.pass_samples(), with, cancel, data.streams);
  };

  RoundingStates states(block.projections(), formats, options);
  states.search_scales(data.importance, options);
  if (states.needs_calibration()) {
    CalibrationOps observing(states, data, ops);
    run(observing);
    states.finish_calibration();
  }
  QuantOps quantized(states, ops);
  ExpertCount counted(data, quantized);
  const auto evaluate = [&](std::vector<quant::QuantizedWeight> weights) {
    states.write_weights(weights);
    at::Tensor output = run(counted);
    const double loss = mean_error(output, data, options.pass_samples());
    return Candidate{std::move(weights), std::move(output), loss};
  };
  BlockResult result;
  const auto give_up = [&](const std::string& reason) {
    if (!options.rtn_on_nan) fail(Code::numeric, block.name(), reason);
    log.warn(block.name() + ": " + reason + "; kept round-to-nearest");
    result.fell_back = true;
  };

  Candidate chosen = evaluate(states.nearest());
  result.rtn_loss = chosen.loss;
  if (!std::isfinite(result.rtn_loss)) {
    give_up("loss of round-to-nearest is " + format_number(result.rtn_loss) +
            ": weights, inputs or targets are not finite, or its activations overflow");
  } else if (!states.empty() && (options.iters > 0 || states.searched())) {
    chosen = {};  // cheaper to compute again in the rare case than to hold beside the loop's activations
    // The best minibatch says little about all samples; what is worse than doing nothing on all of them is not kept.
    const auto keeps = [&](std::vector<quant::QuantizedWeight> weights, const char* what) {
      chosen = evaluate(std::move(weights));
      if (chosen.loss <= result.rtn_loss) return true;
      log.warn(block.name() + ": " + what + " loss " + format_number(chosen.loss) +
               " over all samples, round-to-nearest " + format_number(result.rtn_loss) + "; not kept");
      return false;
    };
    bool keep = false;
    if (options.iters > 0) {
      const Optimization tuned = [&] {
        // Of its own: what they keep from one iteration to the next is gone before all samples are run again.
        const auto loop_ops = model::make_ops(data.input.device(), options.arithmetic);
        const double largest = largest_loss(result.rtn_loss, data, options.pass_samples());
        return optimize(block, states, data, options, largest, *loop_ops, cancel, on_iteration);
      }();
      result.losses = tuned.losses;
      if (!tuned.not_recorded.empty())
        log.warn(block.name() + ": iterations ran one by one, as they could not be recorded: " + tuned.not_recorded);
      if (tuned.diverged) {
        give_up(divergence(tuned, result.rtn_loss));
      } else {
        keep = keeps(states.best(), "tuned weights have");
      }
      if (keep) result.best_iteration = tuned.best_iteration;
    }
    if (!keep && !result.fell_back && states.searched()) keep = keeps(states.rounded(), "searched scales have");
    if (!keep) chosen = evaluate(states.nearest());
  }

  if (options.observe_cache) {  // what was evaluated last was kept
    CacheObserver observer(data, quantized);
    run(observer);
    result.cache = observer.ranges();
  }
  for (quant::QuantizedWeight& weight : chosen.weights) result.weights.push_back(quant::to_host(std::move(weight)));
  result.output = std::move(chosen.output);
  result.loss = chosen.loss;
  result.experts = counted.experts();
  result.idle_experts = counted.idle();
  result.seconds = watch.seconds();
  return result;
}

at::Tensor rerun_block(const Block& block, const BlockData& data, const std::vector<quant::QuantizedWeight>& weights,
                       const TuneOptions& options, const CancelToken& cancel) {
  check(data);
  const at::NoGradGuard no_grad;
  quant::InputQuantizers inputs;
  for (model::Projection* projection : block.projections()) {
    for (const auto& part : projection->parts) {
      const auto weight =
          std::find_if(weights.begin(), weights.end(), [&](const auto& w) { return w.name == part.name; });
      if (weight == weights.end()) continue;
      quant::dequantize_into(*weight, projection->weight.narrow(0, part.row, part.rows));
      if (weight->format.input) inputs.emplace(part.name, quant::InputQuantizer(*weight->format.input, weight->input));
    }
  }
  const auto ops = model::make_ops(data.input.device(), options.arithmetic);
  quant::InputOps quantized(inputs, *ops);
  return run_block(block, data.input, data.length, options.pass_samples(), quantized, cancel, data.streams);
}

std::vector<quant::QuantizedWeight> round_block(const Block& block,
                                                const std::map<std::string, quant::WeightFormat>& formats) {
  std::vector<quant::QuantizedWeight> weights;
  for (const model::Projection* projection : block.projections()) {
    std::vector<quant::RoundingState> states;
    std::vector<std::string> names;
    for (const auto& part : projection->parts) {
      const auto format = formats.find(part.name);
      if (format == formats.end()) continue;
      states.push_back(quant::make_rounding_state(format->second, projection->weight.narrow(0, part.row, part.rows),
                                                  /*tune_minmax=*/false, /*trainable=*/false));
      names.push_back(part.name);
    }
    std::vector<quant::RoundingState*> sharing;
    for (quant::RoundingState& state : states) sharing.push_back(&state);
    quant::share_global_scale(sharing);
    for (std::size_t i = 0; i < states.size(); ++i)
      weights.push_back(quant::to_host(quant::quantize(states[i], names[i])));
  }
  return weights;
}

at::Tensor run_block(const Block& block, const at::Tensor& input, std::int64_t length, std::int64_t batch,
                     model::Ops& ops, const CancelToken& cancel, const model::StreamArena& streams) {
  const at::NoGradGuard no_grad;
  at::Tensor output;
  const std::int64_t rows = input.size(0), chunk = batch * length;
  for (std::int64_t row = 0; row < rows; row += chunk) {
    cancel.throw_if_requested();
    const auto count = std::min(chunk, rows - row);
    const at::Tensor x = input.narrow(0, row, count);
    const at::Tensor y = block.forward(x, count / length, ops);
    streams.rest(x);
    streams.put(output, rows, row, y);
  }
  ops.end_pass();
  return output;
}

}  // namespace autoround::tuner
