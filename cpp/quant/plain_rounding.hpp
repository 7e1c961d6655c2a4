// Quantize-dequantize composed of LibTorch operations: the readable form of the formulas, for any device, and what the
// fused kernels are tested against.
#pragma once

#include <memory>

#include "quant/rounding.hpp"

namespace autoround::quant::plain {

/// Each clamps min_scale and max_scale in place.
void forward(const RoundingState& state, const at::Tensor& out);
/// V and the scale factors after one signed step.
void update(const RoundingState& state, const at::Tensor& gradient, StepRates rates);
/// The step as SignedStep takes it: all rows in one call.
std::unique_ptr<RowStep> step(RoundingState& state, StepRates rates, bool is_best);
/// Codes, scales and zero points at the current parameters; without a name.
QuantizedWeight quantize(const RoundingState& state);
/// The same, into best_*.
void keep_best(RoundingState& state);

}  // namespace autoround::quant::plain
