// Scales of floating-point weights and their step, a thread a scale. Twins of quant/float_scale_kernels.hpp and
// of the step in quant/float_rounding.cpp. Part of floats.cu.
#pragma once

#include "cuda/batch.cuh"
#include "cuda/rounding.cuh"

namespace autoround::cuda {
namespace {

using device::FloatWeight;
using device::Scaling;
using device::StepPlan;
using Forward = device::Forward<FloatWeight>;
using Update = device::Update<FloatWeight>;

struct Scale {
  float divisor, scale;  // what weights are divided by, or with NVFP4 multiplied with; what codes are multiplied with
  float stored;          // in the dtype of stored scales, e8m0 as the power that it stands for
  bool free;             // false: a bound holds it, and no gradient passes
};

__device__ float reciprocal(float value) { return value == 0.f ? 0.f : 1.f / value; }

__device__ Scale linear_scale(const FloatWeight& w, float magnitude) {
  const float raw = magnitude / kE4m3.largest, rounded = round_scale(w.scale_type, raw);
  const float scale = rounded < w.threshold ? w.threshold : rounded;
  return {scale, scale, scale, raw >= w.threshold};
}

/// floor(log2(x)) of the C library's float logarithm, which is that of the exponent but just below a power of two,
/// where the logarithm is rounded up to it; 1 for zero. There it is taken in double and rounded once: nearly always the
/// same.
__device__ float floor_of_log2(float x) {
  constexpr std::uint32_t kMantissa = 0x7fffffu, kNearPower = kMantissa - 64;
  if (x == 0.f) return 1.f;
  const std::uint32_t bits = __float_as_uint(x);
  if (x >= 0x1p-126f && x < INFINITY && (bits & kMantissa) < kNearPower)
    return static_cast<float>(static_cast<int>(bits >> 23) - 127);
  return floorf(static_cast<float>(log2(static_cast<double>(x))));
}

/// Source: OCP Microscaling 1.0, section 6.3.
__device__ Scale power_scale(const FloatWeight& w, float magnitude) {
  constexpr float kBound = 127.f;
  const float exponent = floor_of_log2(magnitude) - static_cast<float>(w.grid.largest_exponent);
  const float scale = power_of_two(static_cast<int>(clamp(exponent, -kBound, kBound)));
  return {scale, scale, scale, magnitude != 0.f && fabsf(exponent) <= kBound};
}

__device__ Scale nvfp4_scale(float global, float magnitude) {
  constexpr float kSixReciprocal = 1.f / 6.f;
  const float raw = global * (magnitude * kSixReciprocal);
  const float stored = round_to_e4m3(raw < kE4m3.largest ? raw : kE4m3.largest);
  return {reciprocal(stored * reciprocal(global)), stored / global, stored, raw <= kE4m3.largest};
}

/// Clamps the factor in place.
__device__ Scale scale_of(const FloatWeight& w, std::int64_t i) {
  const float factor = clamped(w.max_scale + i, w.largest_factor);
  const float magnitude = w.weight_max[i] * (factor * (w.searched ? w.searched[i] : 1.f));
  if (w.scaling == Scaling::linear) return linear_scale(w, magnitude);
  return w.scaling == Scaling::nvfp4 ? nvfp4_scale(*w.global_scale, magnitude) : power_scale(w, magnitude);
}

__host__ __device__ std::int64_t scales_of(const FloatWeight& w) {
  return (w.rows + w.rows_at_once - 1) / w.rows_at_once * w.groups;
}
unsigned scale_blocks(const FloatWeight& w) { return blocks_for(scales_of(w), kThreads); }

/// What all the threads of a group would have to compute else.
__device__ Scale find_scale(const FloatWeight& w, std::int64_t i) {
  const Scale found = scale_of(w, i);
  w.divisor[i] = found.divisor;
  w.scale[i] = found.scale;
  return found;
}

/// A thread a scale.
template <int kCapacity>
__global__ void forward_scales_kernel(const __grid_constant__ Batch<Forward, kCapacity> batch) {
  const FloatWeight& w = batch.own().weight;
  const std::int64_t i = thread_index();
  if (i < scales_of(w)) find_scale(w, i);
}

/// Likewise; plan.scales gets them as they are stored, from a step where it is the best.
template <int kCapacity>
__global__ void best_scales_kernel(const __grid_constant__ Batch<Update, kCapacity> batch) {
  const FloatWeight& w = batch.own().weight;
  const StepPlan& plan = batch.own().plan;
  const std::int64_t i = thread_index();
  const Step now = step_of(plan);
  if (now.stopped || i >= scales_of(w)) return;
  const Scale found = find_scale(w, i);
  if (!plan.scales || !now.is_best) return;
  auto* const bytes = static_cast<std::uint8_t*>(plan.scales);
  if (w.scaling == Scaling::linear) {
    store_scale(plan.scales, i, w.scale_type, found.stored);
  } else if (w.scaling == Scaling::nvfp4) {
    bytes[i] = bits_of(kE4m3, float_code(kE4m3, found.stored, 0.f));
  } else {
    bytes[i] = static_cast<std::uint8_t>(__float_as_uint(found.stored) >> 23);
  }
}

/// A thread a scale; one that serves several rows takes their sums in order, whatever ran when.
template <int kCapacity>
__global__ void step_scales_kernel(const __grid_constant__ Batch<Update, kCapacity> batch) {
  const FloatWeight& w = batch.own().weight;
  const StepPlan& plan = batch.own().plan;
  const std::int64_t i = thread_index();
  const Step now = step_of(plan);
  if (now.stopped || i >= scales_of(w)) return;
  const std::int64_t first = i / w.groups * w.rows_at_once, last = min(w.rows, first + w.rows_at_once);
  float sum = 0.f;
#pragma unroll 16
  for (std::int64_t row = first; row < last; ++row) sum += plan.sums[row * w.groups + i % w.groups];
  if (scale_of(w, i).free && w.weight_max[i] != 0.f) w.max_scale[i] -= now.minmax_rate * sign_of(sum);
}

}  // namespace
}  // namespace autoround::cuda
