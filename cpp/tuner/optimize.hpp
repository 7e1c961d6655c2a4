// The optimisation loop of one block: signed gradient descent over minibatches.
#pragma once

#include <cstdint>
#include <functional>
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
  bool diverged = false;             // the last loss is not finite or far above round-to-nearest; no step follows it
};

/// Runs options.iters iterations, fewer with dynamic_max_gap, on `block`, whose quantized linears `states` has taken
/// over. A loss above 10^4 times `rtn_loss` counts as diverged: minibatches differ from the mean by orders of
/// magnitude less.
Optimization optimize(const Block& block, RoundingStates& states, const BlockData& data, const TuneOptions& options,
                      double rtn_loss, model::Ops& ops, const CancelToken& cancel,
                      const std::function<void(const Iteration&)>& on_iteration);

}  // namespace autoround::tuner
