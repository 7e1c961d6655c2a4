#include "tuner/tuned_input.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace autoround::tuner {

void TunedInput::observe(const at::Tensor& x) {
  observed_ = true;
  if (format().needs_calibration()) largest_ = std::max(largest_, quant::largest_magnitude(x));
}

void TunedInput::finish_calibration() {
  quantizer_.calibrate(largest_);
  untuned_ = best_ = quantizer_.scales();
}

void TunedInput::add_gradient(const at::Tensor& x, const at::Tensor& rounded, at::Tensor& gradient) {
  of_factor_ += quantizer_.clip_gradient(x, rounded, gradient);
}

void TunedInput::step(float rate) {
  const double gradient = of_factor_;
  of_factor_ = 0.0;
  if (gradient == 0.0 || std::isnan(gradient)) return;
  factor_ = std::clamp(factor_ - std::copysign(rate, static_cast<float>(gradient)), 0.f, 1.f);
  quantizer_.calibrate(largest_ * factor_);
}

}  // namespace autoround::tuner
