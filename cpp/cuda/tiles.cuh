// Weights in tiles: a lane takes eight neighbouring columns, which lie in one group, with one load of each array.
#pragma once

#include <span>

#include "cuda/values.cuh"

namespace autoround::cuda {

constexpr int kOwn = 8, kTile = kOwn * kWarp;  // columns of a lane, of a warp

template <class Weight>
bool has_tiles(const device::Forward<Weight>& forward) {
  const Weight& w = forward.weight;
  return device::has_tiles(w) && aligned(16, w.weight, w.value.numbers, w.value.ticks, forward.out);
}
template <class Weight>
bool has_tiles(const device::Update<Weight>& update) {
  const Weight& w = update.weight;
  return device::has_tiles(w) && aligned(16, w.weight, w.value.numbers, w.value.ticks, update.plan.gradient) &&
         aligned(kOwn, update.plan.codes);
}

template <class Weight>
unsigned tile_blocks(const Weight& w) {
  return blocks_for(w.rows * w.columns, kTile * kWarps);
}

/// Only kernels of tiles write packed codes. @throws Error internal: memory is not aligned as they need it
template <class Update>
void check_packed(std::span<const Update> steps) {
  for (const Update& step : steps)
    if (step.plan.packed && !has_tiles(step)) fail(Code::internal, "device", "CUDA step: a weight is not at 16 bytes");
}

/// What a lane works on. Groups fill rows, so that a weight is one array of them.
struct Own {
  std::int64_t first, group;  // column, counted through all rows; index among all groups
  int lane, log_lanes;        // of a warp; of those that share a group
  bool exists;
};

__device__ inline Own own_of(std::int64_t group, std::int64_t elements) {
  Own own;
  own.lane = threadIdx.x % kWarp;
  own.log_lanes = __ffs(static_cast<int>(group) / kOwn) - 1;
  own.first = thread_index() * kOwn;
  own.group = thread_index() >> own.log_lanes;
  own.exists = own.first < elements;
  return own;
}

/// body(how to divide a lane's columns by `divisor`). Those of a super group, which are not divided, need no look.
template <class Body>
__device__ void divided(const float (&columns)[kOwn], float divisor, bool divides, Body body) {
  if (divides && RefinedDivision::takes(columns, divisor)) {
    body(RefinedDivision(divisor));
  } else {
    body(Division{divisor});
  }
}

__device__ inline void store_codes(const device::StepPlan& plan, std::int64_t first,
                                   const std::uint8_t (&codes)[kOwn]) {
  if (plan.packed) {
    Packed<std::uint8_t, kOwn / 2> pairs;
#pragma unroll
    for (int k = 0; k < kOwn / 2; ++k)
      pairs.element[k] = static_cast<std::uint8_t>(codes[2 * k] | codes[2 * k + 1] << 4);
    *reinterpret_cast<Packed<std::uint8_t, kOwn / 2>*>(plan.codes + first / 2) = pairs;
  } else {
    Packed<std::uint8_t, kOwn> all;
#pragma unroll
    for (int k = 0; k < kOwn; ++k) all.element[k] = codes[k];
    *reinterpret_cast<Packed<std::uint8_t, kOwn>*>(plan.codes + first) = all;
  }
}

}  // namespace autoround::cuda
