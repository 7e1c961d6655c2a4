// The same numbers as fused_rounding, float_rounding and super_rounding, by the kernels of the device that the weight
// is on.
#pragma once

#include <gsl/span>
#include <memory>

#include "device/kernels.hpp"
#include "quant/input_quantizer.hpp"
#include "quant/rounding.hpp"

namespace autoround::quant::on_device {

/// All on one device.
void forward(gsl::span<const QdqForward> weights);
/// With state.recorded what the step does is decided when it runs.
void step(gsl::span<const QdqUpdate> weights, bool is_best);
/// The same of one, all rows in one call.
std::unique_ptr<RowStep> step(RoundingState& state, StepRates rates, bool is_best);
/// Without a name.
QuantizedWeight quantize(const RoundingState& state);

/// @param codes uint8 [rows, columns / 2], two a byte as RoundingState::best_codes may have them -> [rows, columns]
at::Tensor unpacked(const at::Tensor& codes);

/// @param x [tokens, width], contiguous, on a device
at::Tensor round_inputs(const InputFormat& format, const InputScales& scales, const at::Tensor& x);

}  // namespace autoround::quant::on_device
