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
  const at::Tensor quotient = x.to(at::kFloat) / quantizer_.scales().scale.item<float>();
  const double below = is_float(format().number) ? quant::e4m3.largest : std::ldexp(0.5, format().bits);
  const double above = is_float(format().number) ? below : below - 1.0;
  const at::Tensor code = is_float(format().number) ? quotient : quotient.round();
  const at::Tensor inside = at::logical_and(code >= -below, code <= above);
  of_factor_ += (gradient.to(at::kFloat) * (rounded.to(at::kFloat) - at::where(inside, x.to(at::kFloat), 0.f)))
                    .sum()
                    .item<double>();
  gradient.masked_fill_(inside.logical_not(), 0.0);
}

void TunedInput::step(float rate) {
  const double gradient = of_factor_;
  of_factor_ = 0.0;
  if (gradient == 0.0 || std::isnan(gradient)) return;
  factor_ = std::clamp(factor_ - std::copysign(rate, static_cast<float>(gradient)), 0.f, 1.f);
  quantizer_.calibrate(largest_ * factor_);
}

}  // namespace autoround::tuner
