// V as it is kept (device::Values) and in registers, where it is counted in ticks. Numbers have a tick of one.
#pragma once

#include "cuda/rounding.cuh"
#include "cuda/vectors.cuh"

namespace autoround::cuda {

__device__ inline float load_value(const device::Values& values, std::int64_t i) {
  if (values.ticks) return load(values.ticks + i);
  return values.numbers ? values.numbers[i] : 0.f;
}

__device__ inline void store_value(const device::Values& values, std::int64_t i, float count) {
  values.ticks ? store(values.ticks + i, count) : store(values.numbers + i, count);
}

/// Neighbours from `first` on. Waits for them: other loads are better on their way before.
template <int N>
__device__ inline void load_values(const device::Values& values, std::int64_t first, float (&counts)[N]) {
  if (values.ticks) {
    load_vector<N>(values.ticks + first, counts);
  } else if (values.numbers) {
    load_vector<N>(values.numbers + first, counts);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) counts[i] = 0.f;
  }
}

template <int N>
__device__ inline void store_values(const device::Values& values, std::int64_t first, const float (&counts)[N]) {
  values.ticks ? store_vector<N>(values.ticks + first, counts) : store_vector<N>(values.numbers + first, counts);
}

/// What a step changes a count by.
__device__ inline float counted(const device::Values& values, float rate) {
  return values.ticks ? round_even(rate / values.tick) : rate;
}

/// V after a signed step against `gradient`. sign(NaN) = 0.
__device__ inline float stepped(float value, float gradient, float rate) {
  return value - (gradient > 0.f ? rate : gradient < 0.f ? -rate : 0.f);
}

/// Columns that a warp reads at once, so that all of its loads are on their way before the first is needed.
constexpr int kSpanBlocks = 4, kSpan = kSpanBlocks * kWarp;

/// @tparam T of weights and gradients
template <class T>
struct Span {
  float weight[kSpanBlocks], count[kSpanBlocks], gradient[kSpanBlocks];

  /// Of the row that begins at `base` column `first` and every 32nd after it. What lies beyond `columns`, and what is
  /// null, is zero.
  __device__ Span(const void* weights, const device::Values& values, const void* gradients, std::int64_t base,
                  int first, int columns) {
    const std::int64_t begin = base + first;
    const int rest = columns - first;
    read(static_cast<const T*>(weights) + begin, rest, weight);
    read(gradients ? static_cast<const T*>(gradients) + begin : nullptr, rest, gradient);
    values.ticks ? read(values.ticks + begin, rest, count)
                 : read(values.numbers ? values.numbers + begin : nullptr, rest, count);
  }

 private:
  template <class E>
  __device__ static void read(const E* from, int rest, float (&to)[kSpanBlocks]) {
    E element[kSpanBlocks] = {};
    if (from) {
#pragma unroll
      for (int k = 0; k < kSpanBlocks; ++k)
        if (k * kWarp < rest) element[k] = from[k * kWarp];
    }
#pragma unroll
    for (int k = 0; k < kSpanBlocks; ++k) to[k] = load(&element[k]);
  }
};

}  // namespace autoround::cuda
