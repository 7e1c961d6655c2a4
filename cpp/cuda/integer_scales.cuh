// Scales of integer weights and their step, a thread a scale. Twin of quant/scale_kernels.hpp. Part of integers.cu.
#pragma once

#include "cuda/batch.cuh"
#include "cuda/rounding.cuh"

namespace autoround::cuda {
namespace {

using device::IntegerWeight;
using device::StepPlan;
using Forward = device::Forward<IntegerWeight>;
using Update = device::Update<IntegerWeight>;

constexpr float kLargestOfSearched = 2.f;

struct Range {
  float low, high;  // symmetric: magnitude of the negative side and of the positive side
  float raw;        // scale before the threshold
};

__device__ Range range_of(const IntegerWeight& w, float low, float high) {
  if (!w.symmetric) return {low, high, round_scale(w.scale_type, (high - low) / (w.levels - 1.f))};
  const float negative = -low;
  const float extreme = high < negative ? negative : -high;
  return {negative, high, round_scale(w.scale_type, extreme / (w.levels * 0.5f))};
}

/// A symmetric scale keeps its sign; zero counts as positive.
__device__ float away_from_zero(float raw, float threshold) {
  if (raw < 0.f) return raw > -threshold ? -threshold : raw;
  return raw < threshold ? threshold : raw;
}
__device__ float passed_by_threshold(float raw, float threshold, float gradient) {
  if (raw < 0.f) return raw <= -threshold ? gradient : 0.f;
  return raw >= threshold ? gradient : 0.f;
}

__device__ float searched_scale(const IntegerWeight& w, std::int64_t i, float max_scale) {
  return round_scale(w.scale_type, w.searched[i] * clamp(max_scale, 0.f, kLargestOfSearched));
}

struct Scale {
  float scale, zero;
};

/// Clamps the factors in place.
__device__ Scale scale_of(const IntegerWeight& w, std::int64_t i) {
  if (w.super_scale) return {w.super_scale[i], w.symmetric ? w.levels * 0.5f : 0.f};
  if (w.searched) {
    const float max_scale = clamped(w.max_scale + i, kLargestOfSearched);
    return {away_from_zero(searched_scale(w, i, max_scale), w.threshold), w.levels * 0.5f};
  }
  const float min_scale = clamped(w.min_scale + i, 1.f), max_scale = clamped(w.max_scale + i, 1.f);
  const Range range = range_of(w, w.weight_min[i] * min_scale, w.weight_max[i] * max_scale);
  if (w.symmetric) return {away_from_zero(range.raw, w.threshold), w.levels * 0.5f};
  const float positive = range.raw < w.threshold ? w.threshold : range.raw;
  const float exact = clamp(-range.low / positive, 0.f, w.levels);
  return {positive, clamp(round_even(exact), 0.f, w.levels - 1.f)};
}

__host__ __device__ std::int64_t scales_of(const IntegerWeight& w) { return w.shared ? 1 : w.rows * w.groups; }
unsigned scale_blocks(const IntegerWeight& w) { return blocks_for(scales_of(w), kThreads); }

/// What all the threads of a group would have to compute else.
__device__ Scale find_scale(const IntegerWeight& w, std::int64_t i) {
  const Scale found = scale_of(w, i);
  w.scale[i] = found.scale;
  w.zero[i] = found.zero;
  return found;
}

/// A thread a scale.
template <int kCapacity>
__global__ void forward_scales_kernel(const __grid_constant__ Batch<Forward, kCapacity> batch) {
  const IntegerWeight& w = batch.own().weight;
  const std::int64_t i = thread_index();
  if (i < scales_of(w)) find_scale(w, i);
}

/// Likewise; plan.scales and plan.zeros get them as they are stored, from a step where it is the best.
template <int kCapacity>
__global__ void best_scales_kernel(const __grid_constant__ Batch<Update, kCapacity> batch) {
  const IntegerWeight& w = batch.own().weight;
  const StepPlan& plan = batch.own().plan;
  const std::int64_t i = thread_index();
  const Step now = step_of(plan);
  if (now.stopped || i >= scales_of(w)) return;
  const Scale found = find_scale(w, i);
  if (!plan.scales || !now.is_best) return;
  store_scale(plan.scales, i, w.scale_type, found.scale);
  if (plan.zeros) plan.zeros[i] = static_cast<std::uint8_t>(found.zero);
}

/// The gradient of a scale from its two sums; partial gradients of an fp16 scale are rounded as autograd rounds them.
__device__ float gradient_of_scale(ScaleType type, const float* sums) {
  const ScaleType own = type == ScaleType::f16 ? ScaleType::f16 : ScaleType::f32;
  return round_scale(own, round_scale(own, sums[0]) + round_scale(own, sums[1]));
}

/// The step of the factors of group `i`, from the sums of g q, -(g s) ((w / s) / s) and g s inside the clamp, and g s.
__device__ void step_scales(const IntegerWeight& w, std::int64_t i, float scale, const float* sums, float rate) {
  float of_scale = gradient_of_scale(w.scale_type, sums);
  if (w.searched) {
    const float max_scale = w.max_scale[i];
    const float gradient = passed_by_threshold(searched_scale(w, i, max_scale), w.threshold, of_scale);
    w.max_scale[i] = max_scale - rate * sign_of(gradient * w.searched[i]);
    return;
  }
  const float weight_min = w.weight_min[i], weight_max = w.weight_max[i];
  const float min_scale = w.min_scale[i], max_scale = w.max_scale[i];
  const Range range = range_of(w, weight_min * clamp(min_scale, 0.f, 1.f), weight_max * clamp(max_scale, 0.f, 1.f));
  float of_min, of_max;
  if (w.symmetric) {
    const float kept = passed_by_threshold(range.raw, w.threshold, of_scale);
    const float whole = kept / (w.levels * 0.5f) * (range.high < range.low ? 1.f : -1.f);
    const float share = range.low == range.high ? whole * 0.5f : whole;
    of_max = range.high < range.low ? 0.f : share;
    of_min = range.low < range.high ? -0.f : -share;
  } else {
    const ScaleType own = w.scale_type == ScaleType::f16 ? ScaleType::f16 : ScaleType::f32;
    const float of_zero = sums[2] - sums[3];
    of_scale = round_scale(own, of_scale + round_scale(own, -of_zero * ((-range.low / scale) / scale)));
    of_max = (range.raw >= w.threshold ? of_scale : 0.f) / (w.levels - 1.f);
    of_min = -of_max - of_zero / scale;
  }
  w.min_scale[i] = min_scale - rate * sign_of(of_min * weight_min);
  w.max_scale[i] = max_scale - rate * sign_of(of_max * weight_max);
}

/// A thread a scale. One for the tensor takes the sums of its rows in order, whatever ran when.
template <int kCapacity>
__global__ void step_scales_kernel(const __grid_constant__ Batch<Update, kCapacity> batch) {
  const IntegerWeight& w = batch.own().weight;
  const StepPlan& plan = batch.own().plan;
  const Step now = step_of(plan);
  const std::int64_t i = thread_index();
  if (now.stopped || i >= scales_of(w)) return;
  float sums[4] = {};
  for (int kind = 0; kind < (w.symmetric ? 2 : 4); ++kind) {
    const float* found = plan.sums + kind * w.rows * w.groups + i;
    float total = found[0];
    if (w.shared) {
#pragma unroll 16
      for (std::int64_t row = 1; row < w.rows; ++row) total += found[row];
    }
    sums[kind] = total;
  }
  step_scales(w, i, w.scale[i], sums, now.minmax_rate);
}

}  // namespace
}  // namespace autoround::cuda
