// Weights of integers: a warp takes a group of a row. Twin of quant/row_kernels.hpp and quant/scale_kernels.hpp.
#include "cuda/rounding.cuh"

namespace autoround::cuda {
namespace {

using device::Element;
using device::IntegerWeight;
using device::StepPlan;

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr float kNextToNothing = 1e-30f;  // quant::kNextToNothing
constexpr float kLargestOfSearched = 2.f;

/// What a warp works on: a group of a row.
struct Unit {
  std::int64_t row, base;  // base: of the first element
  std::int64_t scale;      // index into arrays of groups
  int count, lane;         // columns
  bool exists;
};

__device__ Unit unit_of(const IntegerWeight& w) {
  const auto groups = static_cast<std::uint32_t>(w.groups);
  const std::uint32_t index = blockIdx.x * kWarps + threadIdx.x / kWarp, row = index / groups, group = index % groups;
  Unit unit;
  unit.lane = threadIdx.x % kWarp;
  unit.row = row;
  unit.exists = unit.row < w.rows;
  const std::int64_t first = group * w.group;
  unit.base = unit.row * w.columns + first;
  unit.scale = w.shared ? 0 : index;
  unit.count = static_cast<int>(min(w.group, w.columns - first));
  return unit;
}

struct Range {
  float low, high;  // symmetric: magnitude of the negative side and of the positive side
  float raw;        // scale before the threshold
};

__device__ Range range_of(const IntegerWeight& w, float low, float high) {
  if (!w.symmetric) return {low, high, round_scale(w.scale_type, (high - low) / (w.levels - 1.f))};
  const float negative = -low;
  const float extreme = high < negative ? negative : -high;
  return {negative, high, round_scale(w.scale_type, extreme / (w.levels * 0.5f))};
}

/// A symmetric scale keeps its sign; zero counts as positive.
__device__ float away_from_zero(float raw, float threshold) {
  if (raw < 0.f) return raw > -threshold ? -threshold : raw;
  return raw < threshold ? threshold : raw;
}
__device__ float passed_by_threshold(float raw, float threshold, float gradient) {
  if (raw < 0.f) return raw <= -threshold ? gradient : 0.f;
  return raw >= threshold ? gradient : 0.f;
}

__device__ float searched_scale(const IntegerWeight& w, std::int64_t i, float max_scale) {
  return round_scale(w.scale_type, w.searched[i] * clamp(max_scale, 0.f, kLargestOfSearched));
}

struct Scale {
  float scale, zero;
};

/// Clamps the factors in place: every lane that comes by would write the same.
__device__ Scale scale_of(const IntegerWeight& w, std::int64_t i) {
  if (w.super_scale) return {w.super_scale[i], w.symmetric ? w.levels * 0.5f : 0.f};
  if (w.searched) {
    const float max_scale = clamped(w.max_scale + i, kLargestOfSearched);
    return {away_from_zero(searched_scale(w, i, max_scale), w.threshold), w.levels * 0.5f};
  }
  const float min_scale = clamped(w.min_scale + i, 1.f), max_scale = clamped(w.max_scale + i, 1.f);
  const Range range = range_of(w, w.weight_min[i] * min_scale, w.weight_max[i] * max_scale);
  if (w.symmetric) return {away_from_zero(range.raw, w.threshold), w.levels * 0.5f};
  const float positive = range.raw < w.threshold ? w.threshold : range.raw;
  const float exact = clamp(-range.low / positive, 0.f, w.levels);
  return {positive, clamp(round_even(exact), 0.f, w.levels - 1.f)};
}

/// Where the codes of a group lie relative to its zero point.
struct Group {
  float scale, zero, low, high, minimum, inverse;
};

__device__ Group group_of(const IntegerWeight& w, std::int64_t i) {
  const Scale found = scale_of(w, i);
  Group group{found.scale, found.zero, 0.f - found.zero, w.levels - 1.f - found.zero, 0.f, 0.f};
  if (w.super_minimum) {
    group.minimum = w.super_minimum[i];
    group.inverse = fabsf(group.scale) >= kNextToNothing ? 1.f / group.scale : 0.f;
  }
  return group;
}

struct Code {
  float quotient, rounded;
};

template <bool kMinimum>
__device__ Code code_of(const Group& group, float weight, float value) {
  const float quotient = kMinimum ? (weight + group.minimum) * group.inverse : weight / group.scale;
  return {quotient, round_even(clamp(quotient + value, group.low - 1.f, group.high + 1.f))};
}

template <class T, bool kMinimum>
__global__ void __launch_bounds__(kThreads) forward_kernel(IntegerWeight w, T* out) {
  const Unit unit = unit_of(w);
  if (!unit.exists) return;
  const T* weight = static_cast<const T*>(w.weight) + unit.base;
  const float* value = w.value ? w.value + unit.base : nullptr;
  Group group{};
  for (int first = 0; first < unit.count; first += kSpan) {
    const Span span(weight, value, static_cast<const T*>(nullptr), first + unit.lane, unit.count);
    if (first == 0) group = group_of(w, unit.scale);
#pragma unroll
    for (int k = 0; k < kSpanBlocks; ++k) {
      const int column = first + k * kWarp + unit.lane;
      if (first + k * kWarp >= unit.count) break;
      const Code code = code_of<kMinimum>(group, span.weight[k], span.value[k]);
      float product = clamp(code.rounded, group.low, group.high) * group.scale;
      if (kMinimum) product -= group.minimum;
      if (column < unit.count) store(out + unit.base + column, w.round_to_bf16 ? round_to_bf16(product) : product);
    }
  }
}

__device__ void store_group(const IntegerWeight& w, const Unit& unit, const Group& group, void* scales,
                            std::uint8_t* zeros) {
  if (unit.lane != 0 || !scales || (w.shared && unit.row != 0)) return;
  store_scale(scales, unit.scale, w.scale_type, group.scale);
  if (zeros) zeros[unit.scale] = static_cast<std::uint8_t>(group.zero);
}

template <class T, bool kMinimum>
__global__ void __launch_bounds__(kThreads)
    encode_kernel(IntegerWeight w, std::uint8_t* codes, void* scales, std::uint8_t* zeros) {
  const Unit unit = unit_of(w);
  if (!unit.exists) return;
  const Group group = group_of(w, unit.scale);
  store_group(w, unit, group, scales, zeros);
  const T* weight = static_cast<const T*>(w.weight);
  for (int column = unit.lane; column < unit.count; column += kWarp) {
    const std::int64_t i = unit.base + column;
    const Code code = code_of<kMinimum>(group, load(weight + i), w.value ? w.value[i] : 0.f);
    codes[i] = static_cast<std::uint8_t>(clamp(code.rounded, group.low, group.high) - group.low);
  }
}

/// The gradient of a scale from its two sums; partial gradients of an fp16 scale are rounded as autograd rounds them.
__device__ float gradient_of_scale(ScaleType type, const float* sums) {
  const ScaleType own = type == ScaleType::f16 ? ScaleType::f16 : ScaleType::f32;
  return round_scale(own, round_scale(own, sums[0]) + round_scale(own, sums[1]));
}

/// The step of the factors of group `i`, from the sums of g q, -(g s) ((w / s) / s) and g s inside the clamp, and g s.
__device__ void step_scales(const IntegerWeight& w, std::int64_t i, float scale, const float* sums, float rate) {
  float of_scale = gradient_of_scale(w.scale_type, sums);
  if (w.searched) {
    const float max_scale = w.max_scale[i];
    const float gradient = passed_by_threshold(searched_scale(w, i, max_scale), w.threshold, of_scale);
    w.max_scale[i] = max_scale - rate * sign_of(gradient * w.searched[i]);
    return;
  }
  const float weight_min = w.weight_min[i], weight_max = w.weight_max[i];
  const float min_scale = w.min_scale[i], max_scale = w.max_scale[i];
  const Range range = range_of(w, weight_min * clamp(min_scale, 0.f, 1.f), weight_max * clamp(max_scale, 0.f, 1.f));
  float of_min, of_max;
  if (w.symmetric) {
    const float kept = passed_by_threshold(range.raw, w.threshold, of_scale);
    const float whole = kept / (w.levels * 0.5f) * (range.high < range.low ? 1.f : -1.f);
    const float share = range.low == range.high ? whole * 0.5f : whole;
    of_max = range.high < range.low ? 0.f : share;
    of_min = range.low < range.high ? -0.f : -share;
  } else {
    const ScaleType own = w.scale_type == ScaleType::f16 ? ScaleType::f16 : ScaleType::f32;
    const float of_zero = sums[2] - sums[3];
    of_scale = round_scale(own, of_scale + round_scale(own, -of_zero * ((-range.low / scale) / scale)));
    of_max = (range.raw >= w.threshold ? of_scale : 0.f) / (w.levels - 1.f);
    of_min = -of_max - of_zero / scale;
  }
  w.min_scale[i] = min_scale - rate * sign_of(of_min * weight_min);
  w.max_scale[i] = max_scale - rate * sign_of(of_max * weight_max);
}

/// @tparam kSums sums that the step of the scales needs; 0 in super groups, whose scales stay
/// @tparam kDeep groups of so many columns that their sums are added up in levels
template <class T, int kSums, bool kDeep>
__global__ void __launch_bounds__(kThreads) step_kernel(IntegerWeight w, StepPlan plan, int power) {
  constexpr bool kMinimum = kSums == 0;
  const Step now = step_of(plan);
  const Unit unit = unit_of(w);
  if (now.stopped || !unit.exists) return;
  const T* weight = static_cast<const T*>(w.weight) + unit.base;
  const T* gradient = static_cast<const T*>(plan.gradient) + unit.base;
  float* const value = w.value + unit.base;
  const int whole_blocks = static_cast<int>(w.group / kWarp);
  Group group{};
  OrderedSum<kDeep ? 4 : 1> lanes[kSums + 1];
  float tail[kSums + 1] = {};  // of the columns that fill no block
  for (int first = 0; first < unit.count; first += kSpan) {
    const Span span(weight, value, gradient, first + unit.lane, unit.count);
    if (first == 0) {
      group = group_of(w, unit.scale);
      if (now.is_best) store_group(w, unit, group, plan.scales, plan.zeros);
    }
#pragma unroll
    for (int k = 0; k < kSpanBlocks; ++k) {
      const int block = first / kWarp + k, column = block * kWarp + unit.lane;
      if (block * kWarp >= unit.count) break;
      const float v = span.value[k], g = span.gradient[k];
      const Code code = code_of<kMinimum>(group, span.weight[k], v);
      const float centred = clamp(code.rounded, group.low, group.high);
      const float of_code = g * group.scale, of_value = centred == code.rounded ? of_code : 0.f;
      if (column < unit.count) {
        if (now.is_best) plan.codes[unit.base + column] = static_cast<std::uint8_t>(centred - group.low);
        value[column] = stepped(v, of_value, now.value_rate);
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
  if (kSums == 0 || !plan.tune_scales) return;
  float sums[4] = {};
#pragma unroll
  for (int i = 0; i < kSums; ++i)
    sums[i] = sum_of_lanes(lanes[i].total(), tail[i], static_cast<int>(w.group % kWarp), unit.lane);
  if (unit.lane != 0) return;
  if (!w.shared) return step_scales(w, unit.scale, group.scale, sums, now.minmax_rate);
#pragma unroll
  for (int i = 0; i < kSums; ++i) plan.sums[i * w.rows + unit.row] = sums[i];
}

/// One scale for the tensor: the sums of its rows in order, whatever ran when.
__global__ void step_shared_kernel(IntegerWeight w, StepPlan plan, int kinds) {
  const Step now = step_of(plan);
  if (now.stopped) return;
  float sums[4] = {};
  for (int kind = 0; kind < kinds; ++kind) {
    const float* rows = plan.sums + kind * w.rows;
    float total = rows[0];
#pragma unroll 16
    for (std::int64_t row = 1; row < w.rows; ++row) total += rows[row];
    sums[kind] = total;
  }
  step_scales(w, 0, scale_of(w, 0).scale, sums, now.minmax_rate);
}

template <class T>
void step_as(const IntegerWeight& w, const StepPlan& plan, cudaStream_t stream) {
  const bool deep = w.group >= 16 * kWarp;
  auto* kernel = deep ? step_kernel<T, 2, true> : step_kernel<T, 2, false>;
  if (!w.symmetric) kernel = deep ? step_kernel<T, 4, true> : step_kernel<T, 4, false>;
  if (w.super_minimum) kernel = step_kernel<T, 0, false>;
  kernel<<<blocks_for(w.rows * w.groups, kWarps), kThreads, 0, stream>>>(w, plan, level_power(w.group / kWarp));
  if (w.shared && plan.tune_scales) step_shared_kernel<<<1, 1, 0, stream>>>(w, plan, w.symmetric ? 2 : 4);
}

template <class T>
void forward_as(const IntegerWeight& w, void* out, cudaStream_t stream) {
  auto* const kernel = w.super_minimum ? forward_kernel<T, true> : forward_kernel<T, false>;
  kernel<<<blocks_for(w.rows * w.groups, kWarps), kThreads, 0, stream>>>(w, static_cast<T*>(out));
}

template <class T>
void encode_as(const IntegerWeight& w, std::uint8_t* codes, void* scales, std::uint8_t* zeros, cudaStream_t stream) {
  const unsigned blocks = blocks_for(w.rows * w.groups, kWarps);
  auto* const kernel = w.super_minimum ? encode_kernel<T, true> : encode_kernel<T, false>;
  kernel<<<blocks, kThreads, 0, stream>>>(w, codes, scales, zeros);
}

}  // namespace

void forward(const IntegerWeight& w, void* out, cudaStream_t stream) {
  w.element == Element::bf16 ? forward_as<Bf16>(w, out, stream) : forward_as<float>(w, out, stream);
  check_launch("forward of integers");
}

void encode(const IntegerWeight& w, std::uint8_t* codes, void* scales, std::uint8_t* zeros, cudaStream_t stream) {
  w.element == Element::bf16 ? encode_as<Bf16>(w, codes, scales, zeros, stream)
                             : encode_as<float>(w, codes, scales, zeros, stream);
  check_launch("encode of integers");
}

void step(const IntegerWeight& w, const StepPlan& plan, cudaStream_t stream) {
  w.element == Element::bf16 ? step_as<Bf16>(w, plan, stream) : step_as<float>(w, plan, stream);
  check_launch("step of integers");
}

}  // namespace autoround::cuda
