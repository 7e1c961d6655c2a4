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

Float round_scale(ScaleType type, Float value) {
  if (type == ScaleType::f16) return round_to_f16(value);
  if (type == ScaleType::bf16) return round_to_bf16(value);
  return value;
}
template <ScaleType kType>
Float round_scale(Float value) {
  return round_scale(kType, value);
}

Float sign_of(Float value) {
  const Float negative = value < all(0.f) ? all(-1.f) : all(0.f);
  return value > all(0.f) ? all(1.f) : negative;
}

/// A symmetric scale, which keeps its sign, no closer to zero than the threshold. Zero counts as positive.
Float away_from_zero(Float raw, Float threshold) {
  const Float positive = raw < threshold ? threshold : raw, negative = raw > -threshold ? -threshold : raw;
  return raw < all(0.f) ? negative : positive;
}
/// The gradient of `raw` from that of away_from_zero(raw).
Float passed_by_threshold(Float raw, Float threshold, Float gradient) {
  const Float none{}, kept_below = raw <= -threshold ? gradient : none, kept_above = raw >= threshold ? gradient : none;
  return raw < none ? kept_below : kept_above;
}

struct GroupRange {
  Float low, high;  // symmetric: magnitude of the negative side and of the positive side
  Float raw;        // scale before the threshold
};

template <bool kSymmetric, ScaleType kType>
GroupRange group_range(const ScaleRule& rule, Float low, Float high) {
  if (!kSymmetric) return {low, high, round_scale<kType>((high - low) / (rule.levels - 1.f))};
  const Float negative = -low;
  const Float extreme = high < negative ? negative : -high;  // the larger side is mapped to the most negative code
  return {negative, high, round_scale<kType>(extreme / (rule.levels * 0.5f))};
}

template <bool kSymmetric, ScaleType kType>
void scales_of(const ScaleRule& rule, const Ranges& ranges, float* scale, float* zero) {
  const Float threshold = all(rule.threshold);
  for (std::int64_t i = 0; i < ranges.count; i += kLanes) {
    const std::int64_t count = ranges.count - i;
    const Float min_scale = clamp(load(ranges.min_scale + i, count), 0.f, 1.f);
    const Float max_scale = clamp(load(ranges.max_scale + i, count), 0.f, 1.f);
    store(ranges.min_scale + i, min_scale, count);
    store(ranges.max_scale + i, max_scale, count);
    const GroupRange range = group_range<kSymmetric, kType>(rule, load(ranges.weight_min + i, count) * min_scale,
                                                            load(ranges.weight_max + i, count) * max_scale);
    if (kSymmetric) {
      store(scale + i, away_from_zero(range.raw, threshold), count);
      store(zero + i, all(rule.levels * 0.5f), count);
    } else {
      const Float positive = range.raw < threshold ? threshold : range.raw;
      store(scale + i, positive, count);
      // A scale that was rounded down can put the zero point one past the codes; it is stored as a code, so it stops
      // there.
      const Float exact = clamp(-range.low / positive, 0.f, rule.levels);
      store(zero + i, clamp(round_even(exact), 0.f, rule.levels - 1.f), count);
    }
  }
}

/// Scales that were searched: the range counts no more, max_scale may also enlarge.
constexpr float kLargestOfSearched = 2.f;

Float searched_scale(const ScaleRule& rule, const Ranges& ranges, std::int64_t i, Float max_scale) {
  return round_scale(rule.type,
                     load(ranges.searched + i, ranges.count - i) * clamp(max_scale, 0.f, kLargestOfSearched));
}

void searched_scales(const ScaleRule& rule, const Ranges& ranges, float* scale, float* zero) {
  for (std::int64_t i = 0; i < ranges.count; i += kLanes) {
    const std::int64_t count = ranges.count - i;
    const Float max_scale = clamp(load(ranges.max_scale + i, count), 0.f, kLargestOfSearched);
    store(ranges.max_scale + i, max_scale, count);
    store(scale + i, away_from_zero(searched_scale(rule, ranges, i, max_scale), all(rule.threshold)), count);
    store(zero + i, all(rule.levels * 0.5f), count);
  }
}

/// The gradient of a scale from its two sums. Partial gradients of an fp16 scale are rounded to fp16 as autograd rounds
/// them, those of others are fp32.
Float gradient_of_scale(ScaleType type, const GradientSums& sums, std::int64_t i, std::int64_t count) {
  const ScaleType own = type == ScaleType::f16 ? ScaleType::f16 : ScaleType::f32;
  const auto partial = [&](Float value) { return round_scale(own, value); };
  return partial(partial(load(sums.product + i, count)) + partial(load(sums.quotient + i, count)));
}

void step_searched(const ScaleRule& rule, const Ranges& ranges, const GradientSums& sums, float rate) {
  for (std::int64_t i = 0; i < ranges.count; i += kLanes) {
    const std::int64_t count = ranges.count - i;
    const Float max_scale = load(ranges.max_scale + i, count);
    const Float gradient = passed_by_threshold(searched_scale(rule, ranges, i, max_scale), all(rule.threshold),
                                               gradient_of_scale(rule.type, sums, i, count));
    store(ranges.max_scale + i, max_scale - rate * sign_of(gradient * load(ranges.searched + i, count)), count);
  }
}

/// The chain from a scale's gradient to the two factors, as autograd walks it: docs/algorithm.md.
template <bool kSymmetric, ScaleType kType>
void step_of(const ScaleRule& rule, const Ranges& ranges, const float* scale, const GradientSums& sums, float rate) {
  constexpr ScaleType kGradient = kType == ScaleType::f16 ? ScaleType::f16 : ScaleType::f32;
  const auto partial = [](Float value) { return round_scale<kGradient>(value); };
  const Float none = all(0.f), threshold = all(rule.threshold);
  for (std::int64_t i = 0; i < ranges.count; i += kLanes) {
    const std::int64_t count = ranges.count - i;
    const Float weight_min = load(ranges.weight_min + i, count), weight_max = load(ranges.weight_max + i, count);
    Float min_scale = load(ranges.min_scale + i, count), max_scale = load(ranges.max_scale + i, count);
    const GroupRange range = group_range<kSymmetric, kType>(rule, weight_min * clamp(min_scale, 0.f, 1.f),
                                                            weight_max * clamp(max_scale, 0.f, 1.f));
    Float of_scale = gradient_of_scale(kType, sums, i, count);
    Float of_min, of_max;
    if (kSymmetric) {
      const Float kept = passed_by_threshold(range.raw, threshold, of_scale);
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

void scales(const ScaleRule& rule, const Ranges& ranges, float* scale, float* zero) {
  using enum ScaleType;
  if (ranges.searched) return searched_scales(rule, ranges, scale, zero);
  if (rule.symmetric) {
    if (rule.type == f16) return scales_of<true, f16>(rule, ranges, scale, zero);
    if (rule.type == bf16) return scales_of<true, bf16>(rule, ranges, scale, zero);
    return scales_of<true, f32>(rule, ranges, scale, zero);
  }
  if (rule.type == f16) return scales_of<false, f16>(rule, ranges, scale, zero);
  if (rule.type == bf16) return scales_of<false, bf16>(rule, ranges, scale, zero);
  return scales_of<false, f32>(rule, ranges, scale, zero);
}

void step(const ScaleRule& rule, const Ranges& ranges, const float* scale, const GradientSums& sums, float rate) {
  using enum ScaleType;
  if (ranges.searched) return step_searched(rule, ranges, sums, rate);
  if (rule.symmetric) {
    if (rule.type == f16) return step_of<true, f16>(rule, ranges, scale, sums, rate);
    if (rule.type == bf16) return step_of<true, bf16>(rule, ranges, scale, sums, rate);
    return step_of<true, f32>(rule, ranges, scale, sums, rate);
  }
  if (rule.type == f16) return step_of<false, f16>(rule, ranges, scale, sums, rate);
  if (rule.type == bf16) return step_of<false, bf16>(rule, ranges, scale, sums, rate);
  return step_of<false, f32>(rule, ranges, scale, sums, rate);
}

}  // namespace
}  // namespace autoround::quant::AUTOROUND_ISA
