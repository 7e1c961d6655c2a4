// Rows of activations: RMSNorm and gated activation. All of them wait for memory, so what a backward needs of the
// forward is computed again rather than kept, and a second look at a row finds it in the cache.
#include <type_traits>

#include "cuda/vectors.cuh"

namespace autoround::cuda {
namespace {

using device::Element;
using device::Gate;

constexpr int kNormThreads = 512;
constexpr int kHeld = 4;  // vectors of a row that a thread of a norm keeps between its two looks at them
constexpr int kGateThreads = 256;

template <typename T>
constexpr int kLanes = 16 / sizeof(T);  // elements in the widest load

// ---------------------------------------------------------------------------------------------------------------------
// RMSNorm: one block a row

/// What the norm is of: x, or x + delta rounded.
template <int N, typename T>
__device__ void load_sum(const T* x, const T* delta, float (&to)[N]) {
  load_vector<N>(x, to);
  if (delta == nullptr) return;
  float added[N];
  load_vector<N>(delta, added);
#pragma unroll
  for (int j = 0; j < N; ++j) to[j] = rounded<T>(to[j] + added[j]);
}

/// look(where, slot) at each vector of a row that this thread holds.
template <int N, typename Look>
__device__ void each_held(int width, Look look) {
#pragma unroll
  for (int slot = 0; slot < kHeld; ++slot) {
    const int i = (slot * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * N;
    if (i < width) look(i, slot);
  }
}

/// look(where) at each of those beyond, of rows that are too long to be held.
template <int N, typename Look>
__device__ void each_beyond(int width, Look look) {
  const int step = static_cast<int>(blockDim.x) * N;
  for (int i = kHeld * step + static_cast<int>(threadIdx.x) * N; i < width; i += step) look(i);
}

template <typename T, typename W, int N>
__global__ void __launch_bounds__(kNormThreads) rms_norm_kernel(device::RmsNorm a) {
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * a.width;
  const int width = static_cast<int>(a.width);
  const T* x = static_cast<const T*>(a.x) + begin;
  const T* delta = a.delta == nullptr ? nullptr : static_cast<const T*>(a.delta) + begin;
  const auto load_at = [&](int i, float(&value)[N]) {
    load_sum<N>(x + i, delta == nullptr ? nullptr : delta + i, value);
  };

  float held[kHeld][N], squares[1] = {0.0f};
  const auto look = [&](int i, const float(&value)[N]) {
    if (delta != nullptr) store_vector<N>(static_cast<T*>(a.h) + begin + i, value);
#pragma unroll
    for (int j = 0; j < N; ++j) squares[0] = fmaf(value[j], value[j], squares[0]);
  };
  each_held<N>(width, [&](int i, int slot) { load_at(i, held[slot]); });
  each_held<N>(width, [&](int i, int slot) { look(i, held[slot]); });
  each_beyond<N>(width, [&](int i) {
    float value[N];
    load_at(i, value);
    look(i, value);
  });
  block_sums(squares);

  const float rstd = inverse_rms(squares[0], static_cast<float>(width), a.eps);
  const auto finish = [&](int i, float(&value)[N]) {
    float weight[N];
    load_vector<N>(static_cast<const W*>(a.weight) + i, weight);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float norm = value[j] * rstd;
      value[j] = (sizeof(W) > sizeof(T) ? norm : rounded<T>(norm)) * weight[j];
    }
    store_vector<N>(static_cast<T*>(a.y) + begin + i, value);
  };
  each_held<N>(width, [&](int i, int slot) { finish(i, held[slot]); });
  each_beyond<N>(width, [&](int i) {
    float value[N];
    load_at(i, value);
    finish(i, value);
  });
}

/// dh = rstd (w g - h rstd^2 mean(w g h))
template <typename T, typename W, int N>
__global__ void __launch_bounds__(kNormThreads) rms_norm_backward_kernel(device::RmsNormBackward a) {
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * a.width;
  const int width = static_cast<int>(a.width);
  /// h and w g
  const auto load_at = [&](int i, float(&value)[N], float(&grad)[N]) {
    float weight[N];
    load_vector<N>(static_cast<const T*>(a.h) + begin + i, value);
    load_vector<N>(static_cast<const T*>(a.grad_y) + begin + i, grad);
    load_vector<N>(static_cast<const W*>(a.weight) + i, weight);
#pragma unroll
    for (int j = 0; j < N; ++j) grad[j] *= weight[j];
  };

  float held[kHeld][N], held_grad[kHeld][N];
  float sums[2] = {0.0f, 0.0f};  // of squares, of w g h
  const auto look = [&](const float(&value)[N], const float(&grad)[N]) {
#pragma unroll
    for (int j = 0; j < N; ++j) {
      sums[0] = fmaf(value[j], value[j], sums[0]);
      sums[1] = fmaf(grad[j], value[j], sums[1]);
    }
  };
  each_held<N>(width, [&](int i, int slot) { load_at(i, held[slot], held_grad[slot]); });
  each_held<N>(width, [&](int, int slot) { look(held[slot], held_grad[slot]); });
  each_beyond<N>(width, [&](int i) {
    float value[N], grad[N];
    load_at(i, value, grad);
    look(value, grad);
  });
  block_sums(sums);

  const float rstd = inverse_rms(sums[0], static_cast<float>(width), a.eps);
  const float pull = -rstd * rstd * sums[1] / static_cast<float>(width);
  const auto finish = [&](int i, float(&value)[N], const float(&grad)[N]) {
    float passed[N] = {};
    if (a.grad_h != nullptr) load_vector<N>(static_cast<const T*>(a.grad_h) + begin + i, passed);
#pragma unroll
    for (int j = 0; j < N; ++j) value[j] = fmaf(fmaf(pull, value[j], grad[j]), rstd, passed[j]);
    store_vector<N>(static_cast<T*>(a.grad_x) + begin + i, value);
  };
  each_held<N>(width, [&](int i, int slot) { finish(i, held[slot], held_grad[slot]); });
  each_beyond<N>(width, [&](int i) {
    float value[N], grad[N];
    load_at(i, value, grad);
    finish(i, value, grad);
  });
}

// ---------------------------------------------------------------------------------------------------------------------
// Gated activation: a row along x of the grid, pieces of it along y

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

// ---------------------------------------------------------------------------------------------------------------------
// Which kernel

template <int N>
using Lanes = std::integral_constant<int, N>;

/// launch(an element, how many are moved at once)
template <typename Launch>
void with_element(Element element, bool vectors, Launch launch) {
  if (element == Element::f32) return vectors ? launch(float{}, Lanes<kLanes<float>>{}) : launch(float{}, Lanes<1>{});
  vectors ? launch(Bf16{}, Lanes<kLanes<Bf16>>{}) : launch(Bf16{}, Lanes<1>{});
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

/// Rows of so many elements keep the alignment of the first.
bool whole_vectors(std::int64_t width) { return width % kLanes<Bf16> == 0; }

/// Of a row of so many vectors.
unsigned norm_threads(std::int64_t vectors) { return threads_for((vectors + kHeld - 1) / kHeld, kNormThreads); }

dim3 gate_grid(std::int64_t rows, std::int64_t items, unsigned threads) {
  return {static_cast<unsigned>(rows), blocks_for(items, threads)};
}

}  // namespace

void rms_norm(const device::RmsNorm& a, cudaStream_t stream) {
  if (a.rows == 0 || a.width == 0) return;
  const bool vectors = whole_vectors(a.width) && aligned(16, a.x, a.delta, a.weight, a.h, a.y);
  with_element(a.element, vectors, [&](auto element, auto lanes) {
    using T = decltype(element);
    constexpr int kAtOnce = decltype(lanes)::value;
    const unsigned rows = static_cast<unsigned>(a.rows), threads = norm_threads(a.width / kAtOnce);
    const auto kernel = a.wide_weight ? rms_norm_kernel<T, float, kAtOnce> : rms_norm_kernel<T, T, kAtOnce>;
    launch(kernel, rows, threads, stream, a);
  });
  check_launch("rms_norm");
}

void rms_norm_backward(const device::RmsNormBackward& a, cudaStream_t stream) {
  if (a.rows == 0 || a.width == 0) return;
  const bool vectors = whole_vectors(a.width) && aligned(16, a.h, a.weight, a.grad_y, a.grad_h, a.grad_x);
  with_element(a.element, vectors, [&](auto element, auto lanes) {
    using T = decltype(element);
    constexpr int kAtOnce = decltype(lanes)::value;
    const unsigned rows = static_cast<unsigned>(a.rows), threads = norm_threads(a.width / kAtOnce);
    const auto kernel =
        a.wide_weight ? rms_norm_backward_kernel<T, float, kAtOnce> : rms_norm_backward_kernel<T, T, kAtOnce>;
    launch(kernel, rows, threads, stream, a);
  });
  check_launch("rms_norm_backward");
}

void gated_activation(const device::GatedActivation& a, cudaStream_t stream) {
  if (a.rows == 0 || a.width == 0) return;
  with_element(a.element, whole_vectors(a.width) && aligned(16, a.gate_up, a.y), [&](auto element, auto lanes) {
    constexpr int kAtOnce = decltype(lanes)::value;
    const std::int64_t items = a.width / kAtOnce;
    const unsigned threads = threads_for(items, kGateThreads);
    const dim3 grid = gate_grid(a.rows, items, threads);
    with_gate(a.gate, [&](auto gate) {
      const auto kernel = gated_activation_kernel<decltype(element), kAtOnce, decltype(gate)::value>;
      launch(kernel, grid, threads, stream, a);
    });
  });
  check_launch("gated_activation");
}

void gated_activation_backward(const device::GatedActivationBackward& a, cudaStream_t stream) {
  if (a.rows == 0 || a.width == 0) return;
  const bool vectors = whole_vectors(a.width) && aligned(16, a.gate_up, a.grad_y, a.grad_gate_up);
  with_element(a.element, vectors, [&](auto element, auto lanes) {
    constexpr int kAtOnce = decltype(lanes)::value;
    const std::int64_t items = a.width / kAtOnce;
    const unsigned threads = threads_for(items, kGateThreads);
    const dim3 grid = gate_grid(a.rows, items, threads);
    with_gate(a.gate, [&](auto gate) {
      const auto kernel = gated_activation_backward_kernel<decltype(element), kAtOnce, decltype(gate)::value>;
      launch(kernel, grid, threads, stream, a);
    });
  });
  check_launch("gated_activation_backward");
}

}  // namespace autoround::cuda
