// The quantized input of a projection while its layer is tuned. Scales found at run time need nothing; others are
// calibrated first, and the largest magnitude of a static scale is tuned along with the weights.
#pragma once

#include <ATen/core/Tensor.h>

#include "quant/input_quantizer.hpp"

namespace autoround::tuner {

class TunedInput {
 public:
  /// @param trains whether the magnitude of a static scale is tuned
  TunedInput(const quant::InputFormat& format, bool trains)
      : quantizer_(format), trains_(trains && format.needs_scale()) {}

  const quant::InputFormat& format() const noexcept { return quantizer_.format(); }
  bool trains() const noexcept { return trains_; }

  /// Calibration: takes note of what comes in, then makes scales of it.
  void observe(const at::Tensor& x);
  bool observed() const noexcept { return observed_; }
  float largest() const noexcept { return largest_; }
  void take_over(float largest) { largest_ = largest; }
  void finish_calibration();

  at::Tensor quantize(const at::Tensor& x) const { return quantizer_(x); }

  /// Of the last forward pass with `x`: zeroes the gradient where x was clipped and adds up that of the magnitude.
  void add_gradient(const at::Tensor& x, const at::Tensor& rounded, at::Tensor& gradient);
  /// A signed step with what was added up since the last one.
  void step(float rate);
  void keep_best() { best_ = quantizer_.scales(); }

  quant::InputScales untuned() const { return untuned_; }
  quant::InputScales best() const { return best_; }
  void use(const quant::InputScales& scales) { quantizer_ = quant::InputQuantizer(format(), scales); }

 private:
  quant::InputQuantizer quantizer_;
  bool trains_;
  bool observed_ = false;
  float largest_ = 0.f;     // magnitude that calibration saw
  float factor_ = 1.f;      // of it, in [0, 1]
  double of_factor_ = 0.0;  // its gradient, up to a positive factor
  quant::InputScales untuned_, best_;
};

}  // namespace autoround::tuner
