// Integers in the groups that everybody uses, of a power of two and at most 256 columns, in tiles. The same bits as the
// kernels of integers.cu, which take any groups. Part of integers.cu.
#pragma once

#include "cuda/integer_scales.cuh"
#include "cuda/tiles.cuh"

namespace autoround::cuda {
namespace {

constexpr float kNextToNothing = 1e-30f;  // quant::kNextToNothing

/// Where the codes of a group lie relative to its zero point.
struct Group {
  float scale, low, high, minimum, inverse;
};

__device__ Group group_of(const IntegerWeight& w, std::int64_t i) {
  const float zero = w.zero[i];
  Group group{w.scale[i], 0.f - zero, w.levels - 1.f - zero, 0.f, 0.f};
  if (w.super_minimum) {
    group.minimum = w.super_minimum[i];
    group.inverse = fabsf(group.scale) >= kNextToNothing ? 1.f / group.scale : 0.f;
  }
  return group;
}

struct Code {
  float quotient, rounded;
};

/// @tparam kMinimum of a super group
template <bool kMinimum, class Divide>
__device__ Code code_of(const Group& group, const Divide& by_scale, float weight, float value) {
  const float quotient = kMinimum ? (weight + group.minimum) * group.inverse : by_scale(weight);
  return {quotient, round_even(clamp(quotient + value, group.low - 1.f, group.high + 1.f))};
}

template <class T, bool kMinimum, int kCapacity>
__global__ void __launch_bounds__(kThreads)
    forward_tiles_kernel(const __grid_constant__ Batch<Forward, kCapacity> batch) {
  const IntegerWeight& w = batch.own().weight;
  const Own own = own_of(w.group, w.rows * w.columns);
  if (!own.exists) return;
  float weight[kOwn], count[kOwn], out[kOwn];
  load_vector<kOwn>(static_cast<const T*>(w.weight) + own.first, weight);
  const Group group = group_of(w, own.group);
  load_values(w.value, own.first, count);
  divided(weight, group.scale, !kMinimum, [&](const auto& by_scale) {
#pragma unroll
    for (int k = 0; k < kOwn; ++k) {
      const Code code = code_of<kMinimum>(group, by_scale, weight[k], count[k] * w.value.tick);
      out[k] = clamp(code.rounded, group.low, group.high) * group.scale;
      if (kMinimum) out[k] -= group.minimum;
      if (w.round_to_bf16) out[k] = round_to_bf16(out[k]);
    }
  });
  store_vector<kOwn>(static_cast<T*>(batch.own().out) + own.first, out);
}

/// The terms of a warp's sums in shared memory, so placed that neither those who write four columns at once nor those
/// who read every eighth meet in a bank where groups are of 128.
template <int kSums>
struct Terms {
  static constexpr int kHalf = 4 * kWarp + 36, kSum = 2 * kHalf;  // of a lane's columns four, all eight
  alignas(16) float term[kSums * kSum];

  __device__ static int place(int sum, int lane, int column) {
    return sum * kSum + column / 4 * kHalf + lane * 4 + lane / 16 * 16 + column % 4;
  }
  __device__ void put(int sum, int lane, const float (&terms)[kOwn]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float four[4] = {terms[4 * half], terms[4 * half + 1], terms[4 * half + 2], terms[4 * half + 3]};
      store_vector<4>(term + place(sum, lane, 4 * half), four);
    }
  }
  /// Of every eighth column of a group that begins at `lane`, in the order of quant/ordered_sum.hpp.
  __device__ float sum_of_column(int sum, int lane, int lanes, int column) const {
    const float* const from = term + place(sum, lane, column);
    float part[4] = {};  // of every 32nd column
    for (int first = 0; first < lanes; first += 4) {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (i < lanes) part[i] += from[place(0, first, 0) + 4 * i];
    }
    return ((part[0] + part[1]) + part[2]) + part[3];
  }
};

/// @tparam kSums sums that the step of the scales needs; 0 in super groups, whose scales stay
template <class T, int kSums, int kCapacity>
__global__ void __launch_bounds__(kThreads, kSums == 4 ? 3 : 4)
    step_tiles_kernel(const __grid_constant__ Batch<Update, kCapacity> batch) {
  constexpr bool kMinimum = kSums == 0;
  __shared__ Terms<kSums == 0 ? 1 : kSums> of_warp[kWarps];
  auto& terms = of_warp[threadIdx.x / kWarp];
  const IntegerWeight& w = batch.own().weight;
  const StepPlan& plan = batch.own().plan;
  const Step now = step_of(plan);
  if (now.stopped) return;
  const Own own = own_of(w.group, w.rows * w.columns);
  if (own.exists) {
    float weight[kOwn], count[kOwn], gradient[kOwn];
    load_vector<kOwn>(static_cast<const T*>(w.weight) + own.first, weight);
    load_vector<kOwn>(static_cast<const T*>(plan.gradient) + own.first, gradient);
    const Group group = group_of(w, own.group);
    load_values(w.value, own.first, count);
    const float rate = counted(w.value, now.value_rate);
    divided(weight, group.scale, !kMinimum, [&](const auto& by_scale) {
      float term[4][kOwn];
      std::uint8_t codes[kOwn];
#pragma unroll
      for (int k = 0; k < kOwn; ++k) {
        const float g = gradient[k];
        const Code code = code_of<kMinimum>(group, by_scale, weight[k], count[k] * w.value.tick);
        const float centred = clamp(code.rounded, group.low, group.high);
        const float of_code = g * group.scale, of_value = centred == code.rounded ? of_code : 0.f;
        codes[k] = static_cast<std::uint8_t>(centred - group.low);
        count[k] = stepped(count[k], of_value, rate);
        if (kSums) term[0][k] = g * centred, term[1][k] = -of_value * by_scale(code.quotient);
        if (kSums == 4) term[2][k] = of_value, term[3][k] = of_code;
      }
      store_values(w.value, own.first, count);
      if (now.is_best) store_codes(plan, own.first, codes);
#pragma unroll
      for (int i = 0; i < kSums; ++i) terms.put(i, own.lane, term[i]);
    });
  }
  if constexpr (kSums > 0) {
    if (!plan.tune_scales) return;
    __syncwarp();
    const std::int64_t first_group = own.group - (own.lane >> own.log_lanes), all = w.rows * w.groups;
    const int groups = kWarp >> own.log_lanes, column = own.lane % 8;
    // A lane a sum, of every eighth column of a group; the eight of them are then added up by their lanes.
    for (int item = own.lane / 8; item - own.lane / 8 < groups * kSums; item += kWarp / 8) {
      const int i = item % kSums, group = item / kSums;
      const bool exists = group < groups && first_group + group < all;
      const float part = exists ? terms.sum_of_column(i, group << own.log_lanes, 1 << own.log_lanes, column) : 0.f;
      float sum = 0.f;
#pragma unroll
      for (int k = 0; k < 8; ++k) sum += __shfl_sync(kAllLanes, part, own.lane / 8 * 8 + k);
      if (exists && column == 0) plan.sums[i * all + first_group + group] = sum;
    }
  }
}

}  // namespace
}  // namespace autoround::cuda
