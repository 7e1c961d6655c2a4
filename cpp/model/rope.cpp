// Rotary position tables. Formulas and the fp32 order of operations are those of transformers' modeling_rope_utils: an
// angle is position times frequency, so that a last bit of the frequency counts at late positions.
#include "model/rope.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "base/error.hpp"
#include "model/causal_lm.hpp"

namespace autoround::model {
namespace {

/// Exponents 0, 2/d, 4/d ... of the rotated pairs. [rotary_dim / 2]
at::Tensor exponents(const RopeSpec& spec) {
  return at::arange(0, spec.rotary_dim, 2, at::kFloat).div(static_cast<double>(spec.rotary_dim));
}

at::Tensor plain_frequencies(const RopeSpec& spec) { return at::pow(spec.theta, exponents(spec)).reciprocal(); }

/// NTK-aware scaling: the base grows with the sequence once it is longer than the training length.
at::Tensor dynamic_frequencies(const RopeSpec& spec, std::int64_t length) {
  if (static_cast<double>(length) <= spec.max_position) return plain_frequencies(spec);
  const double dim = static_cast<double>(spec.rotary_dim);
  const at::Tensor stretch =
      at::scalar_tensor(length, at::kLong).mul(spec.factor).div(spec.max_position).sub(spec.factor - 1.0);
  return at::pow(at::pow(stretch, dim / (dim - 2.0)).mul(spec.theta), exponents(spec)).reciprocal();
}

/// Llama 3.1: long wavelengths are divided by the factor, short ones kept, those between blended.
at::Tensor llama3_frequencies(const RopeSpec& spec) {
  const at::Tensor plain = plain_frequencies(spec);
  const double low_wavelength = spec.original_max_position / spec.low_freq_factor;
  const double high_wavelength = spec.original_max_position / spec.high_freq_factor;
  const at::Tensor wavelength = plain.reciprocal().mul(2.0 * std::numbers::pi);
  const at::Tensor scaled = at::where(wavelength.gt(low_wavelength), plain.div(spec.factor), plain);
  const at::Tensor smooth = wavelength.reciprocal()
                                .mul(spec.original_max_position)
                                .sub(spec.low_freq_factor)
                                .div(spec.high_freq_factor - spec.low_freq_factor);
  const at::Tensor blended = smooth.neg().add(1.0).mul(scaled).div(spec.factor).add(smooth.mul(scaled));
  const at::Tensor between = wavelength.ge(high_wavelength).logical_and(wavelength.le(low_wavelength));
  return at::where(between, blended, scaled);
}

/// YaRN (arXiv 2309.00071): dimensions that turn often keep their frequency, those that turn rarely are interpolated.
at::Tensor yarn_frequencies(const RopeSpec& spec) {
  const double dim = static_cast<double>(spec.rotary_dim);
  const auto dimension_of = [&](double rotations) {
    return dim * std::log(spec.original_max_position / (rotations * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(spec.theta));
  };
  double low = dimension_of(spec.beta_fast), high = dimension_of(spec.beta_slow);
  if (spec.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1.0);
  if (low == high) high += 0.001;

  const at::Tensor ramp = at::arange(spec.rotary_dim / 2, at::kFloat).sub(low).div(high - low).clamp(0.0, 1.0);
  const at::Tensor keep = ramp.neg().add(1.0);
  const at::Tensor periods = at::pow(spec.theta, exponents(spec));
  const at::Tensor extrapolated = periods.reciprocal(), interpolated = periods.mul(spec.factor).reciprocal();
  return interpolated.mul(keep.neg().add(1.0)).add(extrapolated.mul(keep));
}

at::Tensor longrope_frequencies(const RopeSpec& spec, std::int64_t length) {
  const bool beyond = static_cast<double>(length) > spec.original_max_position;
  const at::Tensor factors = at::tensor(beyond ? spec.long_factor : spec.short_factor, at::kDouble).to(at::kFloat);
  return factors.mul(at::pow(spec.theta, exponents(spec))).reciprocal();
}

double yarn_mscale(double factor, double mscale) { return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0; }

}  // namespace

at::Tensor rope_frequencies(const RopeSpec& spec, std::int64_t length) {
  switch (spec.type) {
    case RopeType::standard:
      return plain_frequencies(spec);
    case RopeType::linear:
      return plain_frequencies(spec).div(spec.factor);
    case RopeType::dynamic:
      return dynamic_frequencies(spec, length);
    case RopeType::llama3:
      return llama3_frequencies(spec);
    case RopeType::yarn:
      return yarn_frequencies(spec);
    case RopeType::longrope:
      return longrope_frequencies(spec, length);
  }
  fail(Code::internal, "rope", "a rope type has no frequencies");
}

double rope_attention_factor(const RopeSpec& spec) {
  if (spec.type != RopeType::yarn && spec.type != RopeType::longrope) return 1.0;
  if (spec.attention_factor) return *spec.attention_factor;
  if (spec.type == RopeType::longrope)
    return spec.factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(spec.factor) / std::log(spec.original_max_position));
  // Zero means absent, as in transformers.
  const double mscale = spec.mscale.value_or(0.0), all_dim = spec.mscale_all_dim.value_or(0.0);
  if (mscale != 0.0 && all_dim != 0.0) return yarn_mscale(spec.factor, mscale) / yarn_mscale(spec.factor, all_dim);
  return yarn_mscale(spec.factor, 1.0);
}

RopeTable make_rope_table(const RopeSpec& spec, std::int64_t length) {
  const at::Tensor positions = at::arange(length, at::kFloat);
  const at::Tensor angles = at::outer(positions, rope_frequencies(spec, length));
  const double factor = rope_attention_factor(spec);
  return {angles.cos().mul(factor), angles.sin().mul(factor)};
}

}  // namespace autoround::model
