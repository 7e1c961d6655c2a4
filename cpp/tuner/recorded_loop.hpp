// The optimisation loop on a device: one iteration is recorded and run again and again, and the host only looks on.
// What it looks at is a few iterations old.
#pragma once

#include "tuner/optimize.hpp"

namespace autoround::tuner {

/// As optimize(), for states that can_record() and data on a device. `on_iteration` and cancel come up to a few
/// iterations late, in order.
Optimization optimize_recorded(const Block& block, RoundingStates& states, const BlockData& data,
                               const TuneOptions& options, double largest_loss, model::Ops& ops,
                               const CancelToken& cancel, const std::function<void(const Iteration&)>& on_iteration);

}  // namespace autoround::tuner
