// Quantize-dequantize to floating-point numbers (FP8, MX formats, NVFP4), one pass over memory each way. V moves a
// weight before it is rounded, in units of its scale; max_scale shrinks the range of a group. Source: auto-round 0.15.1
// data_type/fp8.py, mxfp.py, nvfp.py; scales are rounded to the type in which they are stored.
#pragma once

#include <memory>

#include "quant/kernels.hpp"
#include "quant/rounding.hpp"

namespace autoround::quant::floats {

/// @param global of NVFP4
FloatScaleRule scale_rule(const WeightFormat& format, float global);

/// The largest magnitude of what shares a scale, fp32 [rows of scales, G], from ranges of groups of each row.
at::Tensor magnitudes(const WeightFormat& format, const at::Tensor& low, const at::Tensor& high);
/// Of NVFP4, fp32 [1]: 448 * 6 / the largest magnitude, 1 where that is zero.
at::Tensor global_scale(const at::Tensor& magnitudes);

/// Clamps max_scale in place, as all of these.
void forward(const RoundingState& state, const at::Tensor& out, const Kernels& kernels);

class Step final : public RowStep {
 public:
  Step(RoundingState& state, StepRates rates, bool is_best, const Kernels& kernels);
  ~Step() override;
  /// Several threads may step rows of their own at once.
  void rows(std::int64_t first, const at::Tensor& gradient) override;
  /// After all rows: the step of the scales.
  void finish() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Without a name.
QuantizedWeight quantize(const RoundingState& state, const Kernels& kernels);

}  // namespace autoround::quant::floats
