// How kernels are started and whatever else of CUDA's language is not C++: the one place that a host compiler replaces
// to run them on the CPU, as tests/cuda/on_host does.
#pragma once

#include <cuda_runtime_api.h>

namespace autoround::cuda {

/// Queues a kernel with one-dimensional blocks.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 blocks, unsigned threads, cudaStream_t stream,
            const Arguments&... arguments) {
  kernel<<<blocks, threads, 0, stream>>>(arguments...);
}

}  // namespace autoround::cuda
