// Gated activation: a row along x of the grid, pieces of it along y.
#include "cuda/rows.cuh"

namespace autoround::cuda {
namespace {

using device::Gate;

constexpr int kGateThreads = 256;

/// y = act(gate) * factor(up)
struct Gated {
  float act, act_slope, factor, factor_slope;
};

/// g s(w) with s the sigmoid, where w(g) has slope `dw`.
__device__ inline Gated by_sigmoid(float gate, float w, float dw, float up) {
  const float s = 1.0f / (1.0f + expf(-w));
  return {gate * s, fmaf(gate * dw, s * (1.0f - s), s), up, 1.0f};
}

template <Gate kGate>
__device__ Gated gated(float gate, float up) {
  if constexpr (kGate == Gate::silu) {
    return by_sigmoid(gate, gate, 1.0f, up);
  } else if constexpr (kGate == Gate::gelu) {
    const float below = 0.5f * (1.0f + erff(gate * 0.707106781f));
    const float density = 0.398942280f * expf(-0.5f * gate * gate);
    return {gate * below, fmaf(gate, density, below), up, 1.0f};
  } else if constexpr (kGate == Gate::gelu_tanh) {
    // 0.5 g (1 + tanh(u)) = g s(2 u), u = sqrt(2 / pi) (g + 0.044715 g^3)
    constexpr float kTwoRoot = 1.59576912f, kCubic = 0.044715f * kTwoRoot;
    const float scaled = kCubic * gate;
    return by_sigmoid(gate, gate * fmaf(scaled, gate, kTwoRoot), fmaf(3.0f * scaled, gate, kTwoRoot), up);
  } else if constexpr (kGate == Gate::relu) {
    return {gate < 0.0f ? 0.0f : gate, gate > 0.0f ? 1.0f : 0.0f, up, 1.0f};  // NaN stays NaN
  } else {
    constexpr float kBound = 7.0f, kSharpness = 1.702f;
    const float bounded = gate > kBound ? kBound : gate;
    const float inside = up < -kBound ? -kBound : (up > kBound ? kBound : up);
    Gated result = by_sigmoid(bounded, kSharpness * bounded, kSharpness, inside + 1.0f);
    if (gate > kBound) result.act_slope = 0.0f;
    if (fabsf(up) > kBound) result.factor_slope = 0.0f;
    return result;
  }
}

template <typename T, int N, Gate kGate>
__global__ void __launch_bounds__(kGateThreads) gated_activation_kernel(device::GatedActivation a) {
  const std::int64_t row = blockIdx.x, i = (static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * N;
  if (i >= a.width) return;
  const T* gates = static_cast<const T*>(a.gate_up) + row * 2 * a.width + i;
  float gate[N], up[N];
  load_vector<N>(gates, gate);
  load_vector<N>(gates + a.width, up);
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const Gated g = gated<kGate>(gate[j], up[j]);
    gate[j] = rounded<T>(g.act) * g.factor;
  }
  store_vector<N>(static_cast<T*>(a.y) + row * a.width + i, gate);
}

template <typename T, int N, Gate kGate>
__global__ void __launch_bounds__(kGateThreads) gated_activation_backward_kernel(device::GatedActivationBackward a) {
  const std::int64_t row = blockIdx.x, i = (static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * N;
  if (i >= a.width) return;
  const std::int64_t at = row * 2 * a.width + i;
  const T* gates = static_cast<const T*>(a.gate_up) + at;
  float gate[N], up[N], grad[N];
  load_vector<N>(gates, gate);
  load_vector<N>(gates + a.width, up);
  load_vector<N>(static_cast<const T*>(a.grad_y) + row * a.width + i, grad);
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const Gated g = gated<kGate>(gate[j], up[j]);
    gate[j] = grad[j] * g.factor * g.act_slope;
    up[j] = grad[j] * rounded<T>(g.act) * g.factor_slope;
  }
  T* grad_gates = static_cast<T*>(a.grad_gate_up) + at;
  store_vector<N>(grad_gates, gate);
  store_vector<N>(grad_gates + a.width, up);
}

template <typename Launch>
void with_gate(Gate gate, Launch launch) {
  switch (gate) {
    case Gate::silu:
      return launch(std::integral_constant<Gate, Gate::silu>{});
    case Gate::gelu:
      return launch(std::integral_constant<Gate, Gate::gelu>{});
    case Gate::gelu_tanh:
      return launch(std::integral_constant<Gate, Gate::gelu_tanh>{});
    case Gate::relu:
      return launch(std::integral_constant<Gate, Gate::relu>{});
    case Gate::clamped_swiglu:
      return launch(std::integral_constant<Gate, Gate::clamped_swiglu>{});
  }
}

/// @param kernel_of what to run for an element, so many at once and a gate
template <class Arguments, class KernelOf>
void launch_gates(const Arguments& a, bool vectors, cudaStream_t stream, const char* name, const KernelOf& kernel_of) {
  if (a.rows == 0 || a.width == 0) return;
  with_element(a.element, vectors && whole_vectors(a.width), [&](auto element, auto lanes) {
    const std::int64_t items = a.width / decltype(lanes)::value;
    const unsigned threads = threads_for(items, kGateThreads);
    const dim3 grid(static_cast<unsigned>(a.rows), blocks_for(items, threads));
    with_gate(a.gate, [&](auto gate) { launch(kernel_of(element, lanes, gate), grid, threads, stream, a); });
  });
  check_launch(name);
}

}  // namespace

void gated_activation(const device::GatedActivation& a, cudaStream_t stream) {
  const bool vectors = aligned(16, a.gate_up, a.y);
  launch_gates(a, vectors, stream, "gated_activation", [](auto element, auto lanes, auto gate) {
    return gated_activation_kernel<decltype(element), decltype(lanes)::value, decltype(gate)::value>;
  });
}

void gated_activation_backward(const device::GatedActivationBackward& a, cudaStream_t stream) {
  const bool vectors = aligned(16, a.gate_up, a.grad_y, a.grad_gate_up);
  launch_gates(a, vectors, stream, "gated_activation_backward", [](auto element, auto lanes, auto gate) {
    return gated_activation_backward_kernel<decltype(element), decltype(lanes)::value, decltype(gate)::value>;
  });
}

}  // namespace autoround::cuda
