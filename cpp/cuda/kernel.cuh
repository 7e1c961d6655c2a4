// What all kernels share: elements in registers, warps, launches.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <string>

#include "base/error.hpp"
#include "cuda/launch.hpp"
#include "cuda/launch_kernel.cuh"

namespace autoround::cuda {

using Bf16 = __nv_bfloat16;

constexpr int kWarp = 32;
constexpr int kThreads = 256, kWarps = kThreads / kWarp;  // of a block, where nothing asks for another number
constexpr unsigned kAllLanes = 0xffffffffu;

__device__ inline float load(const float* from) { return *from; }
__device__ inline float load(const Bf16* from) { return __bfloat162float(*from); }
__device__ inline float load(const std::int16_t* from) { return static_cast<float>(*from); }
__device__ inline void store(float* to, float value) { *to = value; }
__device__ inline void store(Bf16* to, float value) { *to = __float2bfloat16_rn(value); }
__device__ inline void store(std::int16_t* to, float whole) { *to = static_cast<std::int16_t>(whole); }

__device__ inline float round_to_bf16(float value) { return __bfloat162float(__float2bfloat16_rn(value)); }
__device__ inline float round_to_f16(float value) { return __half2float(__float2half_rn(value)); }

/// Of this thread among those of all blocks of kThreads.
__device__ inline std::int64_t thread_index() { return static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; }

/// The sum over a warp, the same in every lane.
template <class T>
__device__ inline T warp_sum(T value) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

inline void check_launch(const char* kernel) {
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess)
    fail(error == cudaErrorMemoryAllocation ? Code::out_of_memory : Code::device, "device",
         std::string("CUDA kernel ") + kernel + ": " + cudaGetErrorString(error));
}

inline unsigned blocks_for(std::int64_t items, std::int64_t per_block) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}

}  // namespace autoround::cuda
