// Scales of groups of weights whose codes are floating-point numbers. Part of row_kernels.hpp.
#pragma once

#include <math.h>

#include "quant/scale_kernels.hpp"

namespace autoround::quant::AUTOROUND_ISA {
namespace {

/// floor(log2f(x)). Next to a power of two the logarithm may round to that of the power: there it is taken.
Float floor_log2(Float x) {
  constexpr std::int32_t mantissa = (1 << 23) - 1, near = 256;
  const Int bits = (Int)x, exponent = bits >> 23;
  const Int taken =
      ((bits & mantissa) < near) | ((bits & mantissa) > mantissa - near) | (exponent < 1) | (exponent > 254);
  Float result = __builtin_convertvector(exponent - 127, Float);
  for (int lane = 0; lane < kLanes; ++lane) {
    if (taken[lane]) result[lane] = floorf(log2f(x[lane]));
  }
  return result;
}

struct FloatScale {
  Float divisor, scale, stored;  // FloatScales'
  Int free;
};

FloatScale linear_scale(const FloatScaleRule& rule, Float magnitude) {
  const Float raw = magnitude / rule.grid.largest, least = all(rule.threshold), rounded = round_scale(rule.type, raw);
  const Float scale = rounded < least ? least : rounded;
  return {scale, scale, scale, raw >= least};
}

/// The exponent of the largest magnitude less that of the largest number: source, OCP Microscaling 1.0, section 6.3.
FloatScale power_scale(const FloatScaleRule& rule, Float magnitude) {
  constexpr float bound = 127.f;
  const Float log2 = magnitude == Float{} ? all(1.f) : floor_log2(magnitude);
  const Float exponent = log2 - static_cast<float>(rule.grid.largest_exponent),
              bounded = clamp(exponent, -bound, bound);
  const Float scale = power_of_code(__builtin_convertvector(bounded + bound, Int));
  return {1.f / scale, scale, scale, (magnitude != Float{}) & (bounded == exponent)};
}

/// Codes as auto-round finds them, by a reciprocal; the product as loaders compute it, by a quotient.
FloatScale nvfp4_scale(float global, Float magnitude) {
  constexpr float six_reciprocal = 1.f / 6.f;
  const Float raw = global * (magnitude * six_reciprocal), stored = round_to_grid(e4m3, raw);
  const Float divisor = reciprocal(stored * reciprocal(all(global)));
  return {divisor, stored / global, stored, raw <= all(e4m3.largest)};
}

template <class Find>
void find_float_scales(const float* magnitude, std::int64_t count, const FloatScales& out, const Find& find) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const std::int64_t left = count - i;
    const FloatScale found = find(load(magnitude + i, left));
    if (out.divisor) store(out.divisor + i, found.divisor, left);
    if (out.scale) store(out.scale + i, found.scale, left);
    if (out.stored) store(out.stored + i, found.stored, left);
    for (std::int64_t lane = 0; out.free && lane < (left < kLanes ? left : kLanes); ++lane)
      out.free[i + lane] = found.free[lane] != 0;
  }
}

void float_scales(const FloatScaleRule& rule, const float* magnitude, std::int64_t count, const FloatScales& out) {
  switch (rule.number) {
    case Number::fp8:
      return find_float_scales(magnitude, count, out, [&](Float x) { return linear_scale(rule, x); });
    case Number::nvfp4:
      return find_float_scales(magnitude, count, out, [&](Float x) { return nvfp4_scale(rule.global, x); });
    default:
      return find_float_scales(magnitude, count, out, [&](Float x) { return power_scale(rule, x); });
  }
}

}  // namespace
}  // namespace autoround::quant::AUTOROUND_ISA
