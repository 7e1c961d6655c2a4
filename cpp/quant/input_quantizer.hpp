// Rounds the inputs of a linear layer as the program that will run the model does. Numbers: those of compressed-tensors
// 0.20 (compute_dynamic_scales_and_zp, fake_quantize), in fp32.
#pragma once

#include <ATen/core/Tensor.h>

#include "quant/input_format.hpp"

namespace autoround::quant {

class InputQuantizer {
 public:
  /// @param scales those that the format needs; needs_calibration() formats without them are not ready to run.
  explicit InputQuantizer(InputFormat format, InputScales scales = {});

  const InputFormat& format() const noexcept { return format_; }
  const InputScales& scales() const noexcept { return scales_; }

  /// @param x [tokens, width], bf16 or fp32, contiguous. -> a new tensor like it, rounded. NaN stays NaN.
  at::Tensor operator()(const at::Tensor& x) const;

  /// Of a static scale: `gradient`, that of rounded = (*this)(x), becomes that of x, zero where x was clipped.
  /// -> that of the largest magnitude, up to a positive factor
  double clip_gradient(const at::Tensor& x, const at::Tensor& rounded, at::Tensor& gradient) const;

  /// Takes over what is needed from the largest magnitude that calibration saw.
  void calibrate(float largest_magnitude);

 private:
  InputFormat format_;
  InputScales scales_;
};

/// Largest magnitude of x [tokens, width], fp32 or bf16.
float largest_magnitude(const at::Tensor& x);

}  // namespace autoround::quant
