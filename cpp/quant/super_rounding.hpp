// Quantize-dequantize of integers in super groups, one pass over memory each way. Scales and minima stay as they were
// searched; only V is tuned. Source: auto-round 0.15.1 sign_roundv2/quantizer.py SignRoundDQWrapperLinear.
#pragma once

#include <memory>

#include "quant/kernels.hpp"
#include "quant/rounding.hpp"

namespace autoround::quant::supers {

void forward(const RoundingState& state, const at::Tensor& out, const Kernels& kernels);
std::unique_ptr<RowStep> step(RoundingState& state, StepRates rates, bool is_best, const Kernels& kernels);
/// Without a name.
QuantizedWeight quantize(const RoundingState& state, const Kernels& kernels);

}  // namespace autoround::quant::supers
