// Scales and zero points of groups, and the step of the factors that shrink their ranges, a register of groups at a
// time. Part of row_kernels.hpp.
#pragma once

#include "quant/vectors.hpp"

namespace autoround::quant::AUTOROUND_ISA {
namespace {

/// One register of groups from an array, or the `count` that are left of it.
Float load(const float* from, std::int64_t count) {
  if (count >= kLanes) return load(from);
  float padded[kLanes] = {};
  __builtin_memcpy(padded, from, static_cast<std::size_t>(count) * sizeof(float));
  return load(padded);
}
void store(float* to, Float value, std::int64_t count) {
  __builtin_memcpy(to, &value, sizeof(float) * static_cast<std::size_t>(count < kLanes ? count : kLanes));
}

template <ScaleType kType>
Float round_scale(Float value) {
  if (kType == ScaleType::f16) return round_to_f16(value);
  if (kType == ScaleType::bf16) return round_to_bf16(value);
  return value;
}

Float sign_of(Float value) {
  const Float negative = value < all(0.f) ? all(-1.f) : all(0.f);
  return value > all(0.f) ? all(1.f) : negative;
}

/// Where a scale comes from.
enum class Origin { asymmetric, symmetric, searched };

/// The largest factor of a range or of a searched scale.
template <Origin kOrigin>
constexpr float kLargestFactor = kOrigin == Origin::searched ? 2.f : 1.f;

struct GroupRange {
  Float low, high;  // symmetric: magnitude of the negative side and of the positive side
  Float raw;        // scale before the threshold
};

/// Of a register of groups from the one at `first` on.
template <Origin kOrigin, ScaleType kType>
GroupRange group_range(const ScaleRule& rule, const Ranges& ranges, std::int64_t first, Float min_scale,
                       Float max_scale) {
  const std::int64_t count = ranges.count - first;
  if (kOrigin == Origin::searched) {
    return {Float{}, Float{}, round_scale<kType>(load(ranges.searched + first, count) * max_scale)};
  }
  const Float low = load(ranges.weight_min + first, count) * min_scale;
  const Float high = load(ranges.weight_max + first, count) * max_scale;
  if (kOrigin == Origin::asymmetric) {
    return {low, high, round_scale<kType>((high - low) / (rule.levels - 1.f))};
  }
  const Float negative = -low;
  const Float extreme = high < negative ? negative : -high;  // the larger side is mapped to the most negative code
  return {negative, high, round_scale<kType>(extreme / (rule.levels * 0.5f))};
}

template <Origin kOrigin, ScaleType kType>
void scales_of(const ScaleRule& rule, const Ranges& ranges, float* scale, float* zero) {
  const Float threshold = all(rule.threshold);
  for (std::int64_t i = 0; i < ranges.count; i += kLanes) {
    const std::int64_t count = ranges.count - i;
    const Float min_scale = clamp(load(ranges.min_scale + i, count), 0.f, kLargestFactor<kOrigin>);
    const Float max_scale = clamp(load(ranges.max_scale + i, count), 0.f, kLargestFactor<kOrigin>);
    store(ranges.min_scale + i, min_scale, count);
    store(ranges.max_scale + i, max_scale, count);
    const GroupRange range = group_range<kOrigin, kType>(rule, ranges, i, min_scale, max_scale);
    const Float positive = range.raw < threshold ? threshold : range.raw;
    if (kOrigin != Origin::asymmetric) {
      const Float negative = range.raw > -threshold ? -threshold : range.raw;
      store(scale + i, range.raw < all(0.f) ? negative : positive, count);
      store(zero + i, all(rule.levels * 0.5f), count);
    } else {
      store(scale + i, positive, count);
      // A scale that was rounded down can put the zero point one past the codes; it is stored as a code, so it stops
      // there.
      const Float exact = clamp(-range.low / positive, 0.f, rule.levels);
      store(zero + i, clamp(round_even(exact), 0.f, rule.levels - 1.f), count);
    }
  }
}

/// The chain from a scale's gradient to the two factors, as autograd walks it: docs/algorithm.md. Partial gradients of
/// an fp16 scale are rounded to fp16 as autograd rounds them; those of a bf16 scale stay fp32, where autograd would
/// lose most of their bits to cancellation.
template <Origin kOrigin, ScaleType kType>
void step_of(const ScaleRule& rule, const Ranges& ranges, const float* scale, const GradientSums& sums, float rate) {
  constexpr ScaleType kGradient = kType == ScaleType::f16 ? ScaleType::f16 : ScaleType::f32;
  const auto partial = [](Float value) { return round_scale<kGradient>(value); };
  const Float none = all(0.f), threshold = all(rule.threshold);
  for (std::int64_t i = 0; i < ranges.count; i += kLanes) {
    const std::int64_t count = ranges.count - i;
    const Float min_scale = load(ranges.min_scale + i, count), max_scale = load(ranges.max_scale + i, count);
    const GroupRange range =
        group_range<kOrigin, kType>(rule, ranges, i, clamp(min_scale, 0.f, kLargestFactor<kOrigin>),
                                    clamp(max_scale, 0.f, kLargestFactor<kOrigin>));
    Float of_scale = partial(partial(load(sums.product + i, count)) + partial(load(sums.quotient + i, count)));
    const Float kept_below = range.raw <= -threshold ? of_scale : none;
    const Float kept_above = range.raw >= threshold ? of_scale : none;
    const Float kept = range.raw < none ? kept_below : kept_above;
    if (kOrigin == Origin::searched) {
      store(ranges.max_scale + i, max_scale - rate * sign_of(kept * load(ranges.searched + i, count)), count);
      continue;
    }
    const Float weight_min = load(ranges.weight_min + i, count), weight_max = load(ranges.weight_max + i, count);
    Float of_min, of_max;
    if (kOrigin == Origin::symmetric) {
      const Float direction = range.high < range.low ? all(1.f) : all(-1.f);
      const Float whole = kept / (rule.levels * 0.5f) * direction;
      const Float share = range.low == range.high ? whole * 0.5f : whole;
      of_max = range.high < range.low ? none : share;
      of_min = range.low < range.high ? -none : -share;
    } else {
      const Float divisor = load(scale + i, count);
      const Float of_zero = load(sums.inside + i, count) - load(sums.all + i, count);
      of_scale = partial(of_scale + partial(-of_zero * ((-range.low / divisor) / divisor)));
      of_max = (range.raw >= threshold ? of_scale : none) / (rule.levels - 1.f);
      of_min = -of_max - of_zero / divisor;
    }
    store(ranges.min_scale + i, min_scale - rate * sign_of(of_min * weight_min), count);
    store(ranges.max_scale + i, max_scale - rate * sign_of(of_max * weight_max), count);
  }
}

template <Origin kOrigin>
void scales_from(const ScaleRule& rule, const Ranges& ranges, float* scale, float* zero) {
  using enum ScaleType;
  if (rule.type == f16) return scales_of<kOrigin, f16>(rule, ranges, scale, zero);
  if (rule.type == bf16) return scales_of<kOrigin, bf16>(rule, ranges, scale, zero);
  return scales_of<kOrigin, f32>(rule, ranges, scale, zero);
}

void scales(const ScaleRule& rule, const Ranges& ranges, float* scale, float* zero) {
  if (ranges.searched) return scales_from<Origin::searched>(rule, ranges, scale, zero);
  if (rule.symmetric) return scales_from<Origin::symmetric>(rule, ranges, scale, zero);
  return scales_from<Origin::asymmetric>(rule, ranges, scale, zero);
}

template <Origin kOrigin>
void step_from(const ScaleRule& rule, const Ranges& ranges, const float* scale, const GradientSums& sums, float rate) {
  using enum ScaleType;
  if (rule.type == f16) return step_of<kOrigin, f16>(rule, ranges, scale, sums, rate);
  if (rule.type == bf16) return step_of<kOrigin, bf16>(rule, ranges, scale, sums, rate);
  return step_of<kOrigin, f32>(rule, ranges, scale, sums, rate);
}

void step(const ScaleRule& rule, const Ranges& ranges, const float* scale, const GradientSums& sums, float rate) {
  if (ranges.searched) return step_from<Origin::searched>(rule, ranges, scale, sums, rate);
  if (rule.symmetric) return step_from<Origin::symmetric>(rule, ranges, scale, sums, rate);
  return step_from<Origin::asymmetric>(rule, ranges, scale, sums, rate);
}

}  // namespace
}  // namespace autoround::quant::AUTOROUND_ISA
