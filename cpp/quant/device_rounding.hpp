// The same numbers as fused_rounding, float_rounding and super_rounding, by the kernels of the device that the weight
// is on.
#pragma once

#include <memory>

#include "device/kernels.hpp"
#include "quant/input_quantizer.hpp"
#include "quant/rounding.hpp"

namespace autoround::quant::on_device {

void forward(const RoundingState& state, at::Tensor& out);
/// Steps all rows in one call. With state.recorded what the step does is decided when it runs.
std::unique_ptr<RowStep> step(RoundingState& state, StepRates rates, bool is_best);
/// Without a name.
QuantizedWeight quantize(const RoundingState& state);

/// @param x [tokens, width], contiguous, on a device
at::Tensor round_inputs(const InputFormat& format, const InputScales& scales, const at::Tensor& x);

}  // namespace autoround::quant::on_device
