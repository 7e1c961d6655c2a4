// The optimisation loop of one block: signed gradient descent over minibatches.
#pragma once

#include <cstdint>
#include <functional>
#include <gsl/span>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "model/ops.hpp"
#include "tuner/block.hpp"
#include "tuner/block_tuner.hpp"
#include "tuner/rounding_states.hpp"

namespace autoround::tuner {

struct Optimization {
  std::vector<float> losses;         // of each iteration's minibatch: mean squared error on real tokens
  std::int64_t best_iteration = -1;  // whose codes the states keep
  bool diverged = false;             // the last loss is not finite or above the largest; no step follows it
  std::string not_recorded;          // why a device could not record iterations that can be; then they ran one by one
};

/// What of the samples a step sees.
struct StepShape {
  std::int64_t samples = 0, micro_samples = 0;  // of a step; of a forward pass, the last of a step may have fewer
  float loss_scale = 1.f;                       // of the sum of squares whose gradient is taken
};
StepShape step_shape(const BlockData& data, const TuneOptions& options);

/// Elements that count in the loss of a batch.
double real_elements(const BlockData& data, gsl::span<const std::int64_t> batch);

/// Runs options.iters iterations, fewer with dynamic_max_gap, on `block`, whose quantized linears `states` has taken
/// over; on a device recorded once and replayed where that can be. A loss above `largest_loss` counts as diverged.
Optimization optimize(const Block& block, RoundingStates& states, const BlockData& data, const TuneOptions& options,
                      double largest_loss, model::Ops& ops, const CancelToken& cancel,
                      const std::function<void(const Iteration&)>& on_iteration);

}  // namespace autoround::tuner
