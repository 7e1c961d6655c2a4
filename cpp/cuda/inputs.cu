// Activations rounded as the program that runs the model rounds them: a warp takes a group of a token. Twin of
// quant/input_quantizer.cpp and quant/input_kernels.hpp.
#include "cuda/rounding.cuh"

namespace autoround::cuda {
namespace {

using device::Element;
using device::InputRounding;
using device::Scaling;

constexpr float kEpsilon = 1.1920928955078125e-7f;  // of fp32

struct GroupScale {
  float scale, zero;
};

__device__ float nonzero(float scale, float otherwise) { return scale == 0.f ? otherwise : scale; }
__device__ float larger(float a, float b) { return a < b ? b : a; }

__device__ GroupScale integer_scale(const InputRounding& a, float low, float high) {
  if (a.symmetric) return {nonzero(larger(-low, high) / ((a.levels - 1.f) / 2.f), kEpsilon), a.levels / 2.f};
  const float scale = nonzero((high - low) / (a.levels - 1.f), kEpsilon);
  return {scale, clamp(rintf(-low / scale), 0.f, a.levels - 1.f)};
}

/// The power of two below the magnitude once that is rounded to the mantissa of e2m1, for all formats of the family.
__device__ float power_scale(const device::Grid& grid, float magnitude) {
  constexpr std::uint32_t kHalfStep = 1u << (23 - 1 - 1), kExponentBits = 0x7f800000u;
  const std::uint32_t bits = (__float_as_uint(magnitude) + kHalfStep) & kExponentBits;
  const int code = static_cast<int>(bits >> 23) - grid.largest_exponent;
  return power_of_two(min(max(code, 0), 254) - 127);
}

__device__ float float_scale(const InputRounding& a, float magnitude) {
  if (a.scaling == Scaling::power_of_two) return power_scale(a.grid, magnitude);
  if (a.scaling == Scaling::linear) return nonzero(magnitude / a.grid.largest, kEpsilon);
  constexpr float kEpsilonOfE4m3 = 0.125f;
  const float raw = a.global_scale * (magnitude / a.grid.largest);
  return nonzero(round_to_e4m3(raw < kE4m3.largest ? raw : kE4m3.largest), kEpsilonOfE4m3) / a.global_scale;
}

__device__ GroupScale group_scale(const InputRounding& a, float smallest, float largest) {
  // As std::min and std::max choose, so that a tensor with a NaN has a scale that is one.
  const float low = 0.f < smallest ? 0.f : smallest, high = largest < 0.f ? 0.f : largest;
  if (a.integer) return integer_scale(a, low, high);
  return {float_scale(a, larger(-low, high)), 0.f};
}

template <class T>
__device__ GroupScale scale_of(const InputRounding& a, const T* x, int count, int lane) {
  if (a.is_static) return {a.scale, a.levels / 2.f};
  if (a.range) return group_scale(a, a.range[0], a.range[1]);
  float low = INFINITY, high = -INFINITY;
  for (int column = lane; column < count; column += kWarp) {
    const float value = load(x + column);
    low = value < low ? value : low;
    high = value > high ? value : high;
  }
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    low = fminf(low, __shfl_xor_sync(kAllLanes, low, distance));
    high = fmaxf(high, __shfl_xor_sync(kAllLanes, high, distance));
  }
  return group_scale(a, low, high);
}

template <class T>
__global__ void __launch_bounds__(kThreads) round_kernel(InputRounding a, std::int64_t groups) {
  const std::int64_t unit = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (unit >= a.rows * groups) return;
  const std::int64_t first = unit % groups * a.group, base = unit / groups * a.columns + first;
  const int count = static_cast<int>(min(a.group, a.columns - first));
  const T* x = static_cast<const T*>(a.x) + base;
  T* out = static_cast<T*>(a.out) + base;
  const GroupScale found = scale_of(a, x, count, lane);
  const float low = 0.f - found.zero, high = a.levels - 1.f - found.zero;
  for (int column = lane; column < count; column += kWarp) {
    const float quotient = load(x + column) / found.scale;
    float code;
    if (a.integer) {
      code = clamp(round_even(clamp(quotient, low - 1.f, high + 1.f)), low, high);
    } else {
      code = float_code(a.grid, quotient, 0.f).value();
    }
    store(out + column, code * found.scale);
  }
}

}  // namespace

void round_inputs(const InputRounding& a, cudaStream_t stream) {
  const std::int64_t groups = (a.columns + a.group - 1) / a.group;
  auto* const kernel = a.element == Element::bf16 ? round_kernel<Bf16> : round_kernel<float>;
  launch(kernel, blocks_for(a.rows * groups, kWarps), kThreads, stream, a, groups);
  check_launch("rounding of inputs");
}

}  // namespace autoround::cuda
