// Weights of floating-point numbers: a warp takes a group of a row. Twin of quant/float_row_kernels.hpp.
#include "cuda/float_tiles.cuh"

namespace autoround::cuda {
namespace {

using device::Element;

/// What a warp works on: a group of a row.
struct Unit {
  std::int64_t index, base;  // among all groups of all rows; of the first element
  std::int64_t scale;        // index into arrays of scales
  int count, lane;           // columns
  bool exists;
};

__device__ Unit unit_of(const FloatWeight& w) {
  const auto groups = static_cast<std::uint32_t>(w.groups);
  const std::uint32_t index = blockIdx.x * kWarps + threadIdx.x / kWarp, row = index / groups, group = index % groups;
  Unit unit;
  unit.lane = threadIdx.x % kWarp;
  unit.index = index;
  unit.exists = row < w.rows;
  const std::int64_t first = group * w.group;
  unit.base = row * w.columns + first;
  unit.scale = row / static_cast<std::uint32_t>(w.rows_at_once) * w.groups + group;
  unit.count = static_cast<int>(min(w.group, w.columns - first));
  return unit;
}

__device__ FloatCode code_of(const FloatWeight& w, const Divisor& by, float weight, float value) {
  return float_code(w.grid, w.scaling == Scaling::nvfp4 ? weight * by.divisor : weight / by.divisor, value);
}

template <class T, int kCapacity>
__global__ void __launch_bounds__(kThreads) forward_kernel(const __grid_constant__ Batch<Forward, kCapacity> batch) {
  const FloatWeight& w = batch.own().weight;
  T* const out = static_cast<T*>(batch.own().out);
  const Unit unit = unit_of(w);
  if (!unit.exists) return;
  Divisor scale{};
  for (int first = 0; first < unit.count; first += kSpan) {
    const Span<T> span(w.weight, w.value, nullptr, unit.base, first + unit.lane, unit.count);
    if (first == 0) scale = divisor_of(w, unit.scale);
#pragma unroll
    for (int k = 0; k < kSpanBlocks; ++k) {
      const int column = first + k * kWarp + unit.lane;
      if (column >= unit.count) break;
      const float product = code_of(w, scale, span.weight[k], span.count[k] * w.value.tick).value() * scale.scale;
      store(out + unit.base + column, w.round_to_bf16 ? round_to_bf16(product) : product);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) encode_kernel(FloatWeight w, std::uint8_t* codes) {
  const Unit unit = unit_of(w);
  if (!unit.exists) return;
  const Divisor scale = divisor_of(w, unit.scale);
  const T* weight = static_cast<const T*>(w.weight);
  for (int column = unit.lane; column < unit.count; column += kWarp) {
    const std::int64_t i = unit.base + column;
    codes[i] = bits_of(w.grid, code_of(w, scale, load(weight + i), load_value(w.value, i) * w.value.tick));
  }
}

template <class T, int kCapacity>
__global__ void __launch_bounds__(kThreads) step_kernel(const __grid_constant__ Batch<Update, kCapacity> batch) {
  const FloatWeight& w = batch.own().weight;
  const StepPlan& plan = batch.own().plan;
  const Step now = step_of(plan);
  const Unit unit = unit_of(w);
  if (now.stopped || !unit.exists) return;
  const float rate = counted(w.value, now.value_rate);
  Divisor scale{};
  float sum = 0.f;
  for (int first = 0; first < unit.count; first += kSpan) {
    const Span<T> span(w.weight, w.value, plan.gradient, unit.base, first + unit.lane, unit.count);
    if (first == 0) scale = divisor_of(w, unit.scale);
#pragma unroll
    for (int k = 0; k < kSpanBlocks; ++k) {
      const int column = first + k * kWarp + unit.lane;
      if (column >= unit.count) break;
      const FloatCode code = code_of(w, scale, span.weight[k], span.count[k] * w.value.tick);
      const float of_code = span.gradient[k] * scale.scale, of_value = of_code * slope_of(w, code);
      sum += of_code * code.value() - of_value * code.quotient;
      if (now.is_best) plan.codes[unit.base + column] = bits_of(w.grid, code);
      store_value(w.value, unit.base + column, stepped(span.count[k], of_value, rate));
    }
  }
  if (!plan.tune_scales) return;
  float total = 0.f;  // of the lanes, one after the other as the CPU adds them up
#pragma unroll
  for (int lane = 0; lane < kWarp; ++lane) total += __shfl_sync(kAllLanes, sum, lane);
  if (unit.lane == 0) plan.sums[unit.index] = total;
}

unsigned group_blocks(const FloatWeight& w) { return blocks_for(w.rows * w.groups, kWarps); }

template <int kCapacity>
auto forward_kernel_of(const Forward& forward) {
  const bool bf16 = forward.weight.element == Element::bf16;
  if (has_tiles(forward)) return bf16 ? forward_tiles_kernel<Bf16, kCapacity> : forward_tiles_kernel<float, kCapacity>;
  return bf16 ? forward_kernel<Bf16, kCapacity> : forward_kernel<float, kCapacity>;
}
template <int kCapacity>
auto step_kernel_of(const Update& update) {
  const bool bf16 = update.weight.element == Element::bf16;
  if (has_tiles(update)) return bf16 ? step_tiles_kernel<Bf16, kCapacity> : step_tiles_kernel<float, kCapacity>;
  return bf16 ? step_kernel<Bf16, kCapacity> : step_kernel<float, kCapacity>;
}

}  // namespace

void forward(std::span<const Forward> weights, cudaStream_t stream) {
  const auto together = [](const Forward& a, const Forward& b) {
    return forward_kernel_of<1>(a) == forward_kernel_of<1>(b);
  };
  for_batches(weights, together, [stream]<int kCapacity>(const Batch<Forward, kCapacity>& batch, unsigned count) {
    launch(forward_scales_kernel<kCapacity>, grid_of(batch, count, scale_blocks), kThreads, stream, batch);
    const auto kernel = forward_kernel_of<kCapacity>(batch.items[0]);
    const auto blocks = has_tiles(batch.items[0]) ? tile_blocks<FloatWeight> : group_blocks;
    launch(kernel, grid_of(batch, count, blocks), kThreads, stream, batch);
  });
  check_launch("forward of floating-point numbers");
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
    const auto blocks = has_tiles(batch.items[0]) ? tile_blocks<FloatWeight> : group_blocks;
    launch(kernel, grid_of(batch, count, blocks), kThreads, stream, batch);
    if (batch.items[0].plan.tune_scales) launch(step_scales_kernel<kCapacity>, scales, kThreads, stream, batch);
  });
  check_launch("step of floating-point numbers");
}

void encode(const FloatWeight& w, std::uint8_t* codes, void* scales, cudaStream_t stream) {
  Batch<Update, 1> batch{{{.weight = w, .plan = {}}}};
  batch.items[0].plan.is_best = true;
  batch.items[0].plan.scales = scales;
  launch(best_scales_kernel<1>, scale_blocks(w), kThreads, stream, batch);
  const auto kernel = w.element == Element::bf16 ? encode_kernel<Bf16> : encode_kernel<float>;
  launch(kernel, group_blocks(w), kThreads, stream, w, codes);
  check_launch("encode of floating-point numbers");
}

}  // namespace autoround::cuda
