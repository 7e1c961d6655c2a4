// Weights of floating-point numbers: a warp takes a group of a row. Twin of quant/float_row_kernels.hpp and
// quant/float_rounding.cpp.
#include "cuda/batch.cuh"
#include "cuda/rounding.cuh"

namespace autoround::cuda {
namespace {

using device::Element;
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
  if (x >= 0x1p-126f && (bits & kMantissa) < kNearPower) return static_cast<float>(static_cast<int>(bits >> 23) - 127);
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

/// What a warp works on: one group of a row, or several short ones that fill a span together.
struct Unit {
  std::int64_t index, base;  // of the first group among all groups of all rows; of the first element
  std::int64_t scale;        // index of the first group into arrays of scales
  int count, lane;           // columns
  bool exists;
};

template <int kGroups>
__device__ Unit unit_of(const FloatWeight& w) {
  const auto groups = static_cast<std::uint32_t>(w.groups), per_row = (groups + kGroups - 1) / kGroups;
  const std::uint32_t index = blockIdx.x * kWarps + threadIdx.x / kWarp;
  const std::uint32_t row = index / per_row, group = index % per_row * kGroups;
  Unit unit;
  unit.lane = threadIdx.x % kWarp;
  unit.index = row * w.groups + group;
  unit.exists = row < w.rows;
  const std::int64_t first = group * w.group;
  unit.base = row * w.columns + first;
  unit.scale = row / static_cast<std::uint32_t>(w.rows_at_once) * w.groups + group;
  unit.count = static_cast<int>(min(kGroups * w.group, w.columns - first));
  return unit;
}

/// Lanes that share a group where a span has several.
template <int kGroups>
constexpr int kGroupLanes = kGroups <= kSpanBlocks ? kWarp : kSpan / kGroups;

/// The group, counted from the unit's first, of this lane's column in block `k` of a span. Groups that are longer than
/// a block are alone in their unit.
template <int kGroups>
__device__ int group_in_unit(int k, int lane) {
  return kGroups == 1 ? 0 : (k * kWarp + lane) / (kSpan / kGroups);
}

/// What elements need of their scale.
struct Divisor {
  float divisor, scale;
};

__device__ Divisor divisor_of(const FloatWeight& w, std::int64_t i) { return {w.divisor[i], w.scale[i]}; }

__device__ FloatCode code_of(const FloatWeight& w, const Divisor& by, float weight, float value) {
  return float_code(w.grid, w.scaling == Scaling::nvfp4 ? weight * by.divisor : weight / by.divisor, value);
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

template <class T, int kGroups, int kCapacity>
__global__ void __launch_bounds__(kThreads) forward_kernel(const __grid_constant__ Batch<Forward, kCapacity> batch) {
  const FloatWeight& w = batch.own().weight;
  T* const out = static_cast<T*>(batch.own().out);
  const Unit unit = unit_of<kGroups>(w);
  if (!unit.exists) return;
  const T* weight = static_cast<const T*>(w.weight) + unit.base;
  const float* value = w.value ? w.value + unit.base : nullptr;
  Divisor scale{};
  for (int first = 0; first < unit.count; first += kSpan) {
    const Span span(weight, value, static_cast<const T*>(nullptr), first + unit.lane, unit.count);
    if (kGroups == 1 && first == 0) scale = divisor_of(w, unit.scale);
#pragma unroll
    for (int k = 0; k < kSpanBlocks; ++k) {
      const int column = first + k * kWarp + unit.lane;
      if (column >= unit.count) break;
      if (kGroups > 1) scale = divisor_of(w, unit.scale + group_in_unit<kGroups>(k, unit.lane));
      const float product = code_of(w, scale, span.weight[k], span.value[k]).value() * scale.scale;
      store(out + unit.base + column, w.round_to_bf16 ? round_to_bf16(product) : product);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) encode_kernel(FloatWeight w, std::uint8_t* codes) {
  const Unit unit = unit_of<1>(w);
  if (!unit.exists) return;
  const Divisor scale = divisor_of(w, unit.scale);
  const T* weight = static_cast<const T*>(w.weight);
  for (int column = unit.lane; column < unit.count; column += kWarp) {
    const std::int64_t i = unit.base + column;
    codes[i] = bits_of(w.grid, code_of(w, scale, load(weight + i), w.value ? w.value[i] : 0.f));
  }
}

/// How the code moves with w / s + V: not outside the clamp; in MX formats also through the exponent of the rounded
/// value; in these and NVFP4 not where w / s + V is zero, since auto-round's rounding multiplies with its sign.
__device__ float slope_of(const FloatWeight& w, const FloatCode& code) {
  if (code.magnitude > w.grid.largest) return 0.f;
  if (w.scaling == Scaling::linear) return 1.f;
  if (w.scaling == Scaling::nvfp4 || code.magnitude < w.grid.least_normal) return code.magnitude > 0.f ? 1.f : 0.f;
  return code.rounded / code.magnitude;
}

/// The sum over the lanes of a group, one after the other as the CPU adds them up.
template <int kLanes>
__device__ float sum_of_group(float lane_sum) {
  float total = 0.f;
#pragma unroll
  for (int lane = 0; lane < kLanes; ++lane) total += __shfl_sync(kAllLanes, lane_sum, lane, kLanes);
  return total;
}

template <class T, int kGroups, int kCapacity>
__global__ void __launch_bounds__(kThreads) step_kernel(const __grid_constant__ Batch<Update, kCapacity> batch) {
  const FloatWeight& w = batch.own().weight;
  const StepPlan& plan = batch.own().plan;
  constexpr int kLanes = kGroupLanes<kGroups>;
  const Step now = step_of(plan);
  const Unit unit = unit_of<kGroups>(w);
  if (now.stopped || !unit.exists) return;
  const T* weight = static_cast<const T*>(w.weight) + unit.base;
  const T* gradient = static_cast<const T*>(plan.gradient) + unit.base;
  float* const value = w.value + unit.base;
  const bool first_lane = unit.lane % kLanes == 0;
  Divisor scale{};
  float sum = 0.f;
  const auto finish = [&](int group) {
    const float total = sum_of_group<kLanes>(sum);
    if (first_lane) plan.sums[unit.index + group] = total;
  };
  for (int first = 0; first < unit.count; first += kSpan) {
    const Span span(weight, value, gradient, first + unit.lane, unit.count);
#pragma unroll
    for (int k = 0; k < kSpanBlocks; ++k) {
      if (first + k * kWarp >= unit.count) break;
      const int column = first + k * kWarp + unit.lane;
      const bool inside = column < unit.count;
      // Lanes beyond the last group stay with it, since all take part in the sums.
      const int group = group_in_unit<kGroups>(k, inside ? unit.lane : 0);
      if (kGroups > 1 || (first == 0 && k == 0)) {
        scale = divisor_of(w, unit.scale + group);
        sum = 0.f;
      }
      const FloatCode code = code_of(w, scale, span.weight[k], span.value[k]);
      const float of_code = span.gradient[k] * scale.scale, of_value = of_code * slope_of(w, code);
      sum += of_code * code.value() - of_value * code.quotient;
      if (inside) {
        if (now.is_best) plan.codes[unit.base + column] = bits_of(w.grid, code);
        value[column] = stepped(span.value[k], of_value, now.value_rate);
      }
      if (kGroups > 1 && plan.tune_scales) finish(group);
    }
  }
  if (kGroups == 1 && plan.tune_scales) finish(0);
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

/// Groups that a warp takes at once: whole ones that fill a span, each with its own scales.
int groups_at_once(const FloatWeight& w) {
  const bool whole = w.columns % kWarp == 0 && w.rows_at_once == 1;
  return whole && w.group == kWarp ? 4 : whole && w.group == kWarp / 2 ? 8 : 1;
}

unsigned blocks_of(const FloatWeight& w, int groups) {
  return blocks_for(w.rows * ((w.groups + groups - 1) / groups), kWarps);
}
unsigned group_blocks(const FloatWeight& w) { return blocks_of(w, groups_at_once(w)); }

template <class T, int kCapacity>
auto forward_kernel_for(const FloatWeight& w) {
  const int groups = groups_at_once(w);
  if (groups == 8) return forward_kernel<T, 8, kCapacity>;
  return groups == 4 ? forward_kernel<T, 4, kCapacity> : forward_kernel<T, 1, kCapacity>;
}
template <int kCapacity>
auto forward_kernel_of(const FloatWeight& w) {
  return w.element == Element::bf16 ? forward_kernel_for<Bf16, kCapacity>(w) : forward_kernel_for<float, kCapacity>(w);
}

template <class T, int kCapacity>
auto step_kernel_for(const FloatWeight& w) {
  const int groups = groups_at_once(w);
  if (groups == 8) return step_kernel<T, 8, kCapacity>;
  return groups == 4 ? step_kernel<T, 4, kCapacity> : step_kernel<T, 1, kCapacity>;
}
template <int kCapacity>
auto step_kernel_of(const FloatWeight& w) {
  return w.element == Element::bf16 ? step_kernel_for<Bf16, kCapacity>(w) : step_kernel_for<float, kCapacity>(w);
}

}  // namespace

void forward(std::span<const Forward> weights, cudaStream_t stream) {
  const auto together = [](const Forward& a, const Forward& b) {
    return forward_kernel_of<1>(a.weight) == forward_kernel_of<1>(b.weight);
  };
  for_batches(weights, together, [stream]<int kCapacity>(const Batch<Forward, kCapacity>& batch, unsigned count) {
    launch(forward_scales_kernel<kCapacity>, grid_of(batch, count, scale_blocks), kThreads, stream, batch);
    const auto kernel = forward_kernel_of<kCapacity>(batch.items[0].weight);
    launch(kernel, grid_of(batch, count, group_blocks), kThreads, stream, batch);
  });
  check_launch("forward of floating-point numbers");
}

void step(std::span<const Update> weights, cudaStream_t stream) {
  const auto together = [](const Update& a, const Update& b) {
    return step_kernel_of<1>(a.weight) == step_kernel_of<1>(b.weight) && a.plan.tune_scales == b.plan.tune_scales;
  };
  for_batches(weights, together, [stream]<int kCapacity>(const Batch<Update, kCapacity>& batch, unsigned count) {
    const dim3 scales = grid_of(batch, count, scale_blocks);
    launch(best_scales_kernel<kCapacity>, scales, kThreads, stream, batch);
    const auto kernel = step_kernel_of<kCapacity>(batch.items[0].weight);
    launch(kernel, grid_of(batch, count, group_blocks), kThreads, stream, batch);
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
  launch(kernel, blocks_of(w, 1), kThreads, stream, w, codes);
  check_launch("encode of floating-point numbers");
}

}  // namespace autoround::cuda
