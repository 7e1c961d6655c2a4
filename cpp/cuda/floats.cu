// Weights of floating-point numbers: a warp takes a group of a row. Twin of quant/float_row_kernels.hpp and
// quant/float_rounding.cpp.
#include "cuda/rounding.cuh"

namespace autoround::cuda {
namespace {

using device::Element;
using device::FloatWeight;
using device::Scaling;
using device::StepPlan;

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

std::int64_t scales_of(const FloatWeight& w) { return (w.rows + w.rows_at_once - 1) / w.rows_at_once * w.groups; }

/// A thread a scale: what all the threads of a group would have to compute else. `scales` gets them as they are stored,
/// from a step where it is the best.
__global__ void scales_kernel(FloatWeight w, StepPlan plan, std::int64_t count) {
  const std::int64_t i = thread_index();
  const Step now = step_of(plan);
  if (now.stopped || i >= count) return;
  const Scale found = scale_of(w, i);
  w.divisor[i] = found.divisor;
  w.scale[i] = found.scale;
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

void find_scales(const FloatWeight& w, const StepPlan& plan, cudaStream_t stream) {
  scales_kernel<<<blocks_for(scales_of(w), kThreads), kThreads, 0, stream>>>(w, plan, scales_of(w));
}

template <class T, int kGroups>
__global__ void __launch_bounds__(kThreads) forward_kernel(FloatWeight w, T* out) {
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

template <class T, int kGroups>
__global__ void __launch_bounds__(kThreads) step_kernel(FloatWeight w, StepPlan plan) {
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
__global__ void step_scales_kernel(FloatWeight w, StepPlan plan, std::int64_t count) {
  const std::int64_t i = thread_index();
  const Step now = step_of(plan);
  if (now.stopped || i >= count) return;
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

template <class T>
void step_as(const FloatWeight& w, const StepPlan& plan, cudaStream_t stream) {
  const int groups = groups_at_once(w);
  auto* const kernel = groups == 8 ? step_kernel<T, 8> : groups == 4 ? step_kernel<T, 4> : step_kernel<T, 1>;
  find_scales(w, plan, stream);
  kernel<<<blocks_of(w, groups), kThreads, 0, stream>>>(w, plan);
  const std::int64_t count = scales_of(w);
  if (plan.tune_scales) step_scales_kernel<<<blocks_for(count, kThreads), kThreads, 0, stream>>>(w, plan, count);
}

template <class T>
void forward_as(const FloatWeight& w, void* out, cudaStream_t stream) {
  const int groups = groups_at_once(w);
  auto* const kernel = groups == 8 ? forward_kernel<T, 8> : groups == 4 ? forward_kernel<T, 4> : forward_kernel<T, 1>;
  find_scales(w, {}, stream);
  kernel<<<blocks_of(w, groups), kThreads, 0, stream>>>(w, static_cast<T*>(out));
}

}  // namespace

void forward(const FloatWeight& w, void* out, cudaStream_t stream) {
  w.element == Element::bf16 ? forward_as<Bf16>(w, out, stream) : forward_as<float>(w, out, stream);
  check_launch("forward of floating-point numbers");
}

void encode(const FloatWeight& w, std::uint8_t* codes, void* scales, cudaStream_t stream) {
  StepPlan plan;
  plan.is_best = true;
  plan.scales = scales;
  find_scales(w, plan, stream);
  auto* const kernel = w.element == Element::bf16 ? encode_kernel<Bf16> : encode_kernel<float>;
  kernel<<<blocks_of(w, 1), kThreads, 0, stream>>>(w, codes);
  check_launch("encode of floating-point numbers");
}

void step(const FloatWeight& w, const StepPlan& plan, cudaStream_t stream) {
  w.element == Element::bf16 ? step_as<Bf16>(w, plan, stream) : step_as<float>(w, plan, stream);
  check_launch("step of floating-point numbers");
}

}  // namespace autoround::cuda
