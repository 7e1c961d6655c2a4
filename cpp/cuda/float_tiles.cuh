// Floating-point numbers in groups of at most 32 columns, as MX formats and NVFP4 have them, in tiles. The same bits as
// the kernels of floats.cu, which take any groups. Part of floats.cu.
#pragma once

#include "cuda/float_scales.cuh"
#include "cuda/tiles.cuh"

namespace autoround::cuda {
namespace {

/// What elements need of their scale.
struct Divisor {
  float divisor, scale;
};

__device__ Divisor divisor_of(const FloatWeight& w, std::int64_t i) { return {w.divisor[i], w.scale[i]}; }

/// How the code moves with w / s + V: not outside the clamp; in MX formats also through the exponent of the rounded
/// value; in these and NVFP4 not where w / s + V is zero, since auto-round's rounding multiplies with its sign.
__device__ float slope_of(const FloatWeight& w, const FloatCode& code) {
  if (code.magnitude > w.grid.largest) return 0.f;
  if (w.scaling == Scaling::linear) return 1.f;
  if (w.scaling == Scaling::nvfp4 || code.magnitude < w.grid.least_normal) return code.magnitude > 0.f ? 1.f : 0.f;
  return code.rounded / code.magnitude;
}

// ---------------------------------------------------------------------------------------------------------------------

struct Multiplication {
  float factor;

  __device__ float operator()(float x) const { return x * factor; }
};

/// body(index, code) of a lane's columns.
template <class Body>
__device__ void each_code(const FloatWeight& w, float divisor, const float (&weight)[kOwn], const float (&count)[kOwn],
                          Body body) {
  const auto all = [&](const auto& scaled) {
#pragma unroll
    for (int k = 0; k < kOwn; ++k) body(k, float_code(w.grid, scaled(weight[k]), count[k] * w.value.tick));
  };
  w.scaling == Scaling::nvfp4 ? all(Multiplication{divisor}) : divided(weight, divisor, true, all);
}

template <class T, int kCapacity>
__global__ void __launch_bounds__(kThreads)
    forward_tiles_kernel(const __grid_constant__ Batch<Forward, kCapacity> batch) {
  const FloatWeight& w = batch.own().weight;
  const Own own = own_of(w.group, w.rows * w.columns);
  if (!own.exists) return;
  float weight[kOwn], count[kOwn], out[kOwn];
  load_vector<kOwn>(static_cast<const T*>(w.weight) + own.first, weight);
  const Divisor by = divisor_of(w, own.group);
  load_values(w.value, own.first, count);
  each_code(w, by.divisor, weight, count, [&](int k, const FloatCode& code) {
    out[k] = code.value() * by.scale;
    if (w.round_to_bf16) out[k] = round_to_bf16(out[k]);
  });
  store_vector<kOwn>(static_cast<T*>(batch.own().out) + own.first, out);
}

template <class T, int kCapacity>
__global__ void __launch_bounds__(kThreads) step_tiles_kernel(const __grid_constant__ Batch<Update, kCapacity> batch) {
  const FloatWeight& w = batch.own().weight;
  const StepPlan& plan = batch.own().plan;
  const Step now = step_of(plan);
  if (now.stopped) return;
  const Own own = own_of(w.group, w.rows * w.columns);
  float terms[kOwn] = {};
  if (own.exists) {
    float weight[kOwn], count[kOwn], gradient[kOwn];
    std::uint8_t codes[kOwn];
    load_vector<kOwn>(static_cast<const T*>(w.weight) + own.first, weight);
    load_vector<kOwn>(static_cast<const T*>(plan.gradient) + own.first, gradient);
    const Divisor by = divisor_of(w, own.group);
    load_values(w.value, own.first, count);
    const float rate = counted(w.value, now.value_rate);
    each_code(w, by.divisor, weight, count, [&](int k, const FloatCode& code) {
      const float of_code = gradient[k] * by.scale, of_value = of_code * slope_of(w, code);
      terms[k] = of_code * code.value() - of_value * code.quotient;
      codes[k] = bits_of(w.grid, code);
      count[k] = stepped(count[k], of_value, rate);
    });
    store_values(w.value, own.first, count);
    if (now.is_best) store_codes(plan, own.first, codes);
  }
  if (!plan.tune_scales) return;
  // Column after column, as the CPU adds them up: each lane goes on where the one before it stopped.
  const int lanes = 1 << own.log_lanes, place = own.lane % lanes;
  float sum = 0.f;
  for (int turn = 0; turn < lanes; ++turn) {
    const float before = __shfl_sync(kAllLanes, sum, (own.lane + kWarp - 1) % kWarp);
    if (place != turn) continue;
    if (turn > 0) sum = before;
#pragma unroll
    for (int k = 0; k < kOwn; ++k) sum += terms[k];
  }
  if (own.exists && place == lanes - 1) plan.sums[own.group] = sum;
}

}  // namespace
}  // namespace autoround::cuda
