// Neighbouring elements moved with one load or store, and sums over a block.
#pragma once

#include "cuda/kernel.cuh"

namespace autoround::cuda {

/// N neighbours as they lie in memory. Their alignment is what makes the compiler move 16 bytes at once.
template <typename T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Packed {
  T element[N];
};

template <int N, typename T>
__device__ inline void load_vector(const T* from, float (&to)[N]) {
  const Packed<T, N> packed = *reinterpret_cast<const Packed<T, N>*>(from);
#pragma unroll
  for (int i = 0; i < N; ++i) to[i] = load(&packed.element[i]);
}

template <int N, typename T>
__device__ inline void store_vector(T* to, const float (&from)[N]) {
  Packed<T, N> packed;
#pragma unroll
  for (int i = 0; i < N; ++i) store(&packed.element[i], from[i]);
  *reinterpret_cast<Packed<T, N>*>(to) = packed;
}

/// What is left of a value once it was stored as T.
template <typename T>
__device__ inline float rounded(float value) {
  return sizeof(T) == sizeof(float) ? value : round_to_bf16(value);
}

/// 1 / sqrt(mean of squares + eps)
__device__ inline float inverse_rms(float squares, float width, float eps) {
  return 1.0f / sqrtf(squares / width + eps);
}

/// Sums over a block of whole warps, the same in every thread; their order follows from the block's size alone.
template <int N>
__device__ inline void block_sums(float (&values)[N]) {
  __shared__ float of_warp[N][kWarp];
  const int warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    values[i] = warp_sum(values[i]);
    if (threadIdx.x % kWarp == 0) of_warp[i][warp] = values[i];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < N; ++i) {
    values[i] = 0.0f;
    for (int w = 0; w < warps; ++w) values[i] += of_warp[i][w];
  }
}

/// Whether every one of these addresses, null included, is a multiple of `bytes`.
template <typename... Pointers>
inline bool aligned(std::size_t bytes, Pointers... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % bytes == 0) && ...);
}

/// A block for `items` of a row, one each as far as `most` threads go: whole warps.
inline unsigned threads_for(std::int64_t items, std::int64_t most) {
  const std::int64_t whole = (items + kWarp - 1) / kWarp * kWarp;
  return static_cast<unsigned>(whole < most ? whole : most);
}

}  // namespace autoround::cuda
