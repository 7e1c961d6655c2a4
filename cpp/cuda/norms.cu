// RMSNorm: one block a row.
#include "cuda/rows.cuh"

namespace autoround::cuda {
namespace {

constexpr int kNormThreads = 512;
constexpr int kHeld = 4;  // vectors of a row that a thread keeps between its two looks at them

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

/// @param kernel_of what to run for an element of rows, one of the weight and so many at once
template <class Arguments, class KernelOf>
void launch_norms(const Arguments& a, bool vectors, cudaStream_t stream, const char* name, const KernelOf& kernel_of) {
  if (a.rows == 0 || a.width == 0) return;
  with_element(a.element, vectors && whole_vectors(a.width), [&](auto element, auto lanes) {
    const std::int64_t held = (a.width / decltype(lanes)::value + kHeld - 1) / kHeld;
    const auto kernel = a.wide_weight ? kernel_of(element, float{}, lanes) : kernel_of(element, element, lanes);
    launch(kernel, static_cast<unsigned>(a.rows), threads_for(held, kNormThreads), stream, a);
  });
  check_launch(name);
}

}  // namespace

void rms_norm(const device::RmsNorm& a, cudaStream_t stream) {
  const bool vectors = aligned(16, a.x, a.delta, a.weight, a.h, a.y);
  launch_norms(a, vectors, stream, "rms_norm", [](auto element, auto weight, auto lanes) {
    return rms_norm_kernel<decltype(element), decltype(weight), decltype(lanes)::value>;
  });
}

void rms_norm_backward(const device::RmsNormBackward& a, cudaStream_t stream) {
  const bool vectors = aligned(16, a.h, a.weight, a.grad_y, a.grad_h, a.grad_x);
  launch_norms(a, vectors, stream, "rms_norm_backward", [](auto element, auto weight, auto lanes) {
    return rms_norm_backward_kernel<decltype(element), decltype(weight), decltype(lanes)::value>;
  });
}

}  // namespace autoround::cuda
