// How kernels are started and whatever else of CUDA's language is not C++: the one place that a host compiler replaces
// to run them on the CPU, as tests/cuda/on_host does.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace autoround::cuda {

/// Kernels take so many bytes of parameters from compute capability 7.0 on.
constexpr std::size_t kMostParameters = 32764;

/// Queues a kernel with one-dimensional blocks.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 blocks, unsigned threads, cudaStream_t stream,
            const Arguments&... arguments) {
  kernel<<<blocks, threads, 0, stream>>>(arguments...);
}

}  // namespace autoround::cuda
