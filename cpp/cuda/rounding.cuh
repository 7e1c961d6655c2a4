// Arithmetic of quantize-dequantize, one element or one group at a time: the same IEEE operations in the same order as
// quant/row_kernels.hpp and its parts, so that both give the same bits. Compiled without contraction to FMA.
#pragma once

#include "cuda/kernel.cuh"

namespace autoround::cuda {

using device::ScaleType;

/// NaN stays NaN.
__device__ inline float clamp(float value, float low, float high) {
  value = value < low ? low : value;
  return value > high ? high : value;
}

/// Nearest integer, ties to even, never -0, for magnitudes below 2^22.
__device__ inline float round_even(float value) {
  constexpr float kMagic = 0x1.8p23f;
  return (value + kMagic) - kMagic;
}

__device__ inline float round_scale(ScaleType type, float value) {
  if (type == ScaleType::f16) return round_to_f16(value);
  return type == ScaleType::bf16 ? round_to_bf16(value) : value;
}

__device__ inline void store_scale(void* to, std::int64_t index, ScaleType type, float value) {
  if (type == ScaleType::f16) {
    static_cast<__half*>(to)[index] = __float2half_rn(value);
  } else if (type == ScaleType::bf16) {
    static_cast<Bf16*>(to)[index] = __float2bfloat16_rn(value);
  } else {
    static_cast<float*>(to)[index] = value;
  }
}

/// A factor kept in [0, largest], which is written back only where that changes it.
__device__ inline float clamped(float* factor, float largest) {
  const float before = *factor, after = clamp(before, 0.f, largest);
  if (after != before) *factor = after;
  return after;
}

/// x / divisor.
struct Division {
  float divisor;

  __device__ float operator()(float x) const { return x / divisor; }
};

/// The same bits for much less where a divisor has many dividends: the quotient by the reciprocal, refined twice by the
/// remainder (Markstein, Computation of elementary functions on the IBM RISC System/6000 processor, 1990). Sizes have
/// to be such that remainders are exact and quotients in range, also when a quotient is divided once more.
struct RefinedDivision {
  float divisor, inverse;

  __device__ explicit RefinedDivision(float by) : divisor(by), inverse(1.f / by) {}

  __device__ float operator()(float x) const {
    float quotient = x * inverse;
    quotient = fmaf(fmaf(-quotient, divisor, x), inverse, quotient);
    return fmaf(fmaf(-quotient, divisor, x), inverse, quotient);
  }

  /// Zeros are fine.
  template <int N>
  __device__ static bool takes(const float (&dividends)[N], float divisor) {
    std::uint32_t least = 0xffffffffu, most = 0;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const std::uint32_t size = size_of(dividends[i]);
      least = min(least, size - 1);  // that of zero is the largest
      most = max(most, size);
    }
    return least >= size_of(0x1p-60f) - 1 && most <= size_of(0x1p60f) && size_of(divisor) >= size_of(0x1p-30f) &&
           size_of(divisor) <= size_of(0x1p30f);
  }

 private:
  /// Ordered like magnitudes.
  __device__ static std::uint32_t size_of(float x) { return __float_as_uint(x) << 1; }
};

__device__ inline float sign_of(float value) { return value > 0.f ? 1.f : value < 0.f ? -1.f : 0.f; }

/// What a step does now: as it was told, or as the loop that recorded it stands.
struct Step {
  float value_rate, minmax_rate;
  bool is_best, stopped;
};

__device__ inline Step step_of(const device::StepPlan& plan) {
  const device::Progress* progress = plan.recorded.progress;
  if (!progress) return {plan.value_rate, plan.minmax_rate, plan.is_best, false};
  const float* rates = plan.recorded.rates + 2 * progress->iteration;
  return {rates[0], rates[1], progress->is_best != 0, progress->stopped != 0};
}

// ---------------------------------------------------------------------------------------------------------------------
// Sums over a group in the order of quant/ordered_sum.hpp: a lane of the warp is a lane of at::sum's blocks of 32.

template <int kLevels>
class OrderedSum {
 public:
  __device__ void add(float term) { level_[0] += term; }
  /// After each block; `power` as level_power() has it.
  __device__ void carry(int blocks_done, int power) {
    const int mask = (1 << power) - 1;
    if (blocks_done & mask) return;
#pragma unroll
    for (int j = 1; j < kLevels; ++j) {
      level_[j] += level_[j - 1];
      level_[j - 1] = 0.f;
      if (blocks_done & (mask << (j * power))) return;
    }
  }
  __device__ float total() const {
    float sum = level_[0];
#pragma unroll
    for (int j = 1; j < kLevels; ++j) sum += level_[j];
    return sum;
  }

 private:
  float level_[kLevels] = {};
};

/// Of what each lane added up and of the terms of `count` last elements that fill no block. Same in every lane.
__device__ inline float sum_of_lanes(float lane_sum, float tail, int count, int lane) {
  const int whole = count / 8 * 8, first = lane % 8;
  for (int i = 0; i < whole; i += 8) {
    const float term = __shfl_sync(kAllLanes, tail, first + i);
    if (lane < 8) lane_sum += term;
  }
  float total = 0.f;
  for (int i = whole; i < count; ++i) total += __shfl_sync(kAllLanes, tail, i);
  const float second = __shfl_sync(kAllLanes, lane_sum, first + 8),
              third = __shfl_sync(kAllLanes, lane_sum, first + 16),
              fourth = __shfl_sync(kAllLanes, lane_sum, first + 24);
  const float column = ((lane_sum + second) + third) + fourth;  // of the first eight lanes
  for (int k = 0; k < 8; ++k) total += __shfl_sync(kAllLanes, column, k);
  return total;
}

__host__ __device__ inline int level_power(std::int64_t blocks) {
  int log = 0;
  while ((std::int64_t{1} << log) < blocks) ++log;
  return log / 4 > 4 ? log / 4 : 4;
}

// ---------------------------------------------------------------------------------------------------------------------
// Floating-point numbers

struct FloatCode {
  float quotient, magnitude;  // w / s; |w / s + V| before it is clamped
  float rounded;              // the magnitude of the code
  std::uint32_t sign;

  __device__ float value() const { return __uint_as_float(__float_as_uint(rounded) | sign); }
};

/// The nearest number of the grid, ties to even, to a magnitude of at most the largest.
__device__ inline float round_to_grid(const device::Grid& grid, float magnitude) {
  const float power = __uint_as_float(__float_as_uint(magnitude) & 0x7f800000u);
  const float to_magic = 0x1.8p23f / static_cast<float>(1 << grid.mantissa_bits);
  const float magic = (power < grid.least_normal ? grid.least_normal : power) * to_magic;
  return (magnitude + magic) - magic;
}

__device__ inline FloatCode float_code(const device::Grid& grid, float quotient, float value) {
  FloatCode code;
  code.quotient = quotient;
  const std::uint32_t bits = __float_as_uint(quotient + value);
  code.sign = bits & 0x80000000u;
  code.magnitude = __uint_as_float(bits & 0x7fffffffu);
  code.rounded = round_to_grid(grid, code.magnitude > grid.largest ? grid.largest : code.magnitude);
  return code;
}

/// Sign, exponent and mantissa.
__device__ inline std::uint8_t bits_of(const device::Grid& grid, const FloatCode& code) {
  const std::uint32_t least = __float_as_uint(grid.least_normal) >> 23;
  const std::uint32_t normal =
      (__float_as_uint(code.rounded) >> (23 - grid.mantissa_bits)) - ((least - 1) << grid.mantissa_bits);
  const float per_unit = static_cast<float>(1 << grid.mantissa_bits) / grid.least_normal;
  const auto subnormal = static_cast<std::uint32_t>(static_cast<std::int32_t>(code.rounded * per_unit));
  const std::uint32_t magnitude = code.rounded < grid.least_normal ? subnormal : normal;
  return static_cast<std::uint8_t>(magnitude | (code.sign >> (32 - grid.bits)));
}

__device__ constexpr device::Grid kE4m3{8, 3, 0x1p-6f, 448.f, 8};

/// The nearest e4m3 number to a value in [0, 448].
__device__ inline float round_to_e4m3(float value) { return round_to_grid(kE4m3, value); }

/// 2^exponent, also where it is subnormal, for exponents in [-127, 127].
__device__ inline float power_of_two(int exponent) {
  return exponent < -126 ? 0x1p-127f : __uint_as_float(static_cast<std::uint32_t>(exponent + 127) << 23);
}

}  // namespace autoround::cuda
