// Weights of integers: a warp takes a group of a row. Twin of quant/row_kernels.hpp.
#include "cuda/integer_tiles.cuh"

namespace autoround::cuda {
namespace {

using device::Element;

unsigned group_blocks(const IntegerWeight& w) { return blocks_for(w.rows * w.groups, kWarps); }

/// What a warp works on: a group of a row.
struct Unit {
  std::int64_t index, base;  // among all groups of all rows; of the first element
  std::int64_t scale;        // index into arrays of scales
  int count, lane;           // columns
  bool exists;
};

__device__ Unit unit_of(const IntegerWeight& w) {
  const auto groups = static_cast<std::uint32_t>(w.groups);
  const std::uint32_t index = blockIdx.x * kWarps + threadIdx.x / kWarp, row = index / groups, group = index % groups;
  Unit unit;
  unit.lane = threadIdx.x % kWarp;
  unit.index = index;
  unit.exists = row < w.rows;
  const std::int64_t first = group * w.group;
  unit.base = row * w.columns + first;
  unit.scale = w.shared ? 0 : index;
  unit.count = static_cast<int>(min(w.group, w.columns - first));
  return unit;
}

template <class T, bool kMinimum, int kCapacity>
__global__ void __launch_bounds__(kThreads) forward_kernel(const __grid_constant__ Batch<Forward, kCapacity> batch) {
  const IntegerWeight& w = batch.own().weight;
  T* const out = static_cast<T*>(batch.own().out);
  const Unit unit = unit_of(w);
  if (!unit.exists) return;
  Group group{};
  for (int first = 0; first < unit.count; first += kSpan) {
    const Span<T> span(w.weight, w.value, nullptr, unit.base, first + unit.lane, unit.count);
    if (first == 0) group = group_of(w, unit.scale);
#pragma unroll
    for (int k = 0; k < kSpanBlocks; ++k) {
      const int column = first + k * kWarp + unit.lane;
      if (first + k * kWarp >= unit.count) break;
      const Code code = code_of<kMinimum>(group, Division{group.scale}, span.weight[k], span.count[k] * w.value.tick);
      float product = clamp(code.rounded, group.low, group.high) * group.scale;
      if (kMinimum) product -= group.minimum;
      if (column < unit.count) store(out + unit.base + column, w.round_to_bf16 ? round_to_bf16(product) : product);
    }
  }
}

template <class T, bool kMinimum>
__global__ void __launch_bounds__(kThreads) encode_kernel(IntegerWeight w, std::uint8_t* codes) {
  const Unit unit = unit_of(w);
  if (!unit.exists) return;
  const Group group = group_of(w, unit.scale);
  const T* weight = static_cast<const T*>(w.weight);
  for (int column = unit.lane; column < unit.count; column += kWarp) {
    const std::int64_t i = unit.base + column;
    const Code code =
        code_of<kMinimum>(group, Division{group.scale}, load(weight + i), load_value(w.value, i) * w.value.tick);
    codes[i] = static_cast<std::uint8_t>(clamp(code.rounded, group.low, group.high) - group.low);
  }
}

/// @tparam kSums sums that the step of the scales needs; 0 in super groups, whose scales stay
/// @tparam kDeep groups of so many columns that their sums are added up in levels
template <class T, int kSums, bool kDeep, int kCapacity>
__global__ void __launch_bounds__(kThreads) step_kernel(const __grid_constant__ Batch<Update, kCapacity> batch) {
  constexpr bool kMinimum = kSums == 0;
  const IntegerWeight& w = batch.own().weight;
  const StepPlan& plan = batch.own().plan;
  const int power = kDeep ? level_power(w.group / kWarp) : 0;
  const Step now = step_of(plan);
  const Unit unit = unit_of(w);
  if (now.stopped || !unit.exists) return;
  const float rate = counted(w.value, now.value_rate);
  const int whole_blocks = static_cast<int>(w.group / kWarp);
  Group group{};
  OrderedSum<kDeep ? 4 : 1> lanes[kSums + 1];
  float tail[kSums + 1] = {};  // of the columns that fill no block
  for (int first = 0; first < unit.count; first += kSpan) {
    const Span<T> span(w.weight, w.value, plan.gradient, unit.base, first + unit.lane, unit.count);
    if (first == 0) group = group_of(w, unit.scale);
#pragma unroll
    for (int k = 0; k < kSpanBlocks; ++k) {
      const int block = first / kWarp + k, column = block * kWarp + unit.lane;
      if (block * kWarp >= unit.count) break;
      const float v = span.count[k] * w.value.tick, g = span.gradient[k];
      const Code code = code_of<kMinimum>(group, Division{group.scale}, span.weight[k], v);
      const float centred = clamp(code.rounded, group.low, group.high);
      const float of_code = g * group.scale, of_value = centred == code.rounded ? of_code : 0.f;
      if (column < unit.count) {
        if (now.is_best) plan.codes[unit.base + column] = static_cast<std::uint8_t>(centred - group.low);
        store_value(w.value, unit.base + column, stepped(span.count[k], of_value, rate));
      }
      const float terms[4] = {g * centred, kSums ? -of_value * (code.quotient / group.scale) : 0.f, of_value, of_code};
#pragma unroll
      for (int i = 0; i < kSums; ++i) {
        if (block < whole_blocks) {
          lanes[i].add(terms[i]);
        } else if (block == whole_blocks) {
          tail[i] = terms[i];
        }
      }
    }
    // Levels are of 16 blocks and more, so that they end where spans end.
    if (kDeep && first / kWarp + kSpanBlocks <= whole_blocks) {
#pragma unroll
      for (int i = 0; i < kSums; ++i) lanes[i].carry(first / kWarp + kSpanBlocks, power);
    }
  }
  if constexpr (kSums > 0) {
    if (!plan.tune_scales) return;
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      const float sum = sum_of_lanes(lanes[i].total(), tail[i], static_cast<int>(w.group % kWarp), unit.lane);
      if (unit.lane == 0) plan.sums[i * w.rows * w.groups + unit.index] = sum;
    }
  }
}

template <class T, int kCapacity>
auto forward_kernel_for(const Forward& forward) {
  const bool minimum = forward.weight.super_minimum != nullptr;
  if (has_tiles(forward))
    return minimum ? forward_tiles_kernel<T, true, kCapacity> : forward_tiles_kernel<T, false, kCapacity>;
  return minimum ? forward_kernel<T, true, kCapacity> : forward_kernel<T, false, kCapacity>;
}
template <int kCapacity>
auto forward_kernel_of(const Forward& forward) {
  const bool bf16 = forward.weight.element == Element::bf16;
  return bf16 ? forward_kernel_for<Bf16, kCapacity>(forward) : forward_kernel_for<float, kCapacity>(forward);
}

template <class T, int kCapacity>
auto step_kernel_for(const Update& update) {
  const IntegerWeight& w = update.weight;
  if (has_tiles(update)) {
    if (w.super_minimum) return step_tiles_kernel<T, 0, kCapacity>;
    return w.symmetric ? step_tiles_kernel<T, 2, kCapacity> : step_tiles_kernel<T, 4, kCapacity>;
  }
  const bool deep = w.group >= 16 * kWarp;
  if (w.super_minimum) return step_kernel<T, 0, false, kCapacity>;
  if (!w.symmetric) return deep ? step_kernel<T, 4, true, kCapacity> : step_kernel<T, 4, false, kCapacity>;
  return deep ? step_kernel<T, 2, true, kCapacity> : step_kernel<T, 2, false, kCapacity>;
}
template <int kCapacity>
auto step_kernel_of(const Update& update) {
  const bool bf16 = update.weight.element == Element::bf16;
  return bf16 ? step_kernel_for<Bf16, kCapacity>(update) : step_kernel_for<float, kCapacity>(update);
}

}  // namespace

void forward(std::span<const Forward> weights, cudaStream_t stream) {
  const auto together = [](const Forward& a, const Forward& b) {
    return forward_kernel_of<1>(a) == forward_kernel_of<1>(b);
  };
  for_batches(weights, together, [stream]<int kCapacity>(const Batch<Forward, kCapacity>& batch, unsigned count) {
    launch(forward_scales_kernel<kCapacity>, grid_of(batch, count, scale_blocks), kThreads, stream, batch);
    const auto kernel = forward_kernel_of<kCapacity>(batch.items[0]);
    const auto blocks = has_tiles(batch.items[0]) ? tile_blocks<IntegerWeight> : group_blocks;
    launch(kernel, grid_of(batch, count, blocks), kThreads, stream, batch);
  });
  check_launch("forward of integers");
}

void step(std::span<const Update> weights, cudaStream_t stream) {
  check_packed(weights);
  const auto together = [](const Update& a, const Update& b) {
    return step_kernel_of<1>(a) == step_kernel_of<1>(b) && a.plan.tune_scales == b.plan.tune_scales;
  };
  for_batches(weights, together, [stream]<int kCapacity>(const Batch<Update, kCapacity>& batch, unsigned count) {
    const dim3 scales = grid_of(batch, count, scale_blocks);
    launch(best_scales_kernel<kCapacity>, scales, kThreads, stream, batch);
    const auto kernel = step_kernel_of<kCapacity>(batch.items[0]);
    const auto blocks = has_tiles(batch.items[0]) ? tile_blocks<IntegerWeight> : group_blocks;
    launch(kernel, grid_of(batch, count, blocks), kThreads, stream, batch);
    if (batch.items[0].plan.tune_scales) launch(step_scales_kernel<kCapacity>, scales, kThreads, stream, batch);
  });
  check_launch("step of integers");
}

void encode(const IntegerWeight& w, std::uint8_t* codes, void* scales, std::uint8_t* zeros, cudaStream_t stream) {
  Batch<Update, 1> batch{{{.weight = w, .plan = {}}}};
  StepPlan& plan = batch.items[0].plan;
  plan.is_best = true;
  plan.scales = scales;
  plan.zeros = zeros;
  launch(best_scales_kernel<1>, scale_blocks(w), kThreads, stream, batch);
  auto* kernel = w.super_minimum ? encode_kernel<Bf16, true> : encode_kernel<Bf16, false>;
  if (w.element == Element::f32) kernel = w.super_minimum ? encode_kernel<float, true> : encode_kernel<float, false>;
  launch(kernel, group_blocks(w), kThreads, stream, w, codes);
  check_launch("encode of integers");
}

}  // namespace autoround::cuda
