// An iteration as a CUDA graph. LibTorch's own at::cuda::CUDAGraph takes the process's random numbers into the graph
// as well, which the host's work on other threads would trip over, and where recording fails its allocator goes on as
// if it did not.
#pragma once

#include <c10/cuda/CUDACachingAllocator.h>
#include <cuda_runtime_api.h>

#include "device/kernels.hpp"

namespace autoround::cuda {

class RecordedGraph final : public device::Graph {
 public:
  ~RecordedGraph() override;
  void begin() override;
  void end() override;
  void run() override;

 private:
  cudaError_t stop_recording(cudaGraph_t& recorded);

  c10::DeviceIndex device_ = 0;
  cudaStream_t stream_ = nullptr;  // that is recorded
  c10::MempoolId_t pool_ = {0, 0};
  bool recording_ = false, has_pool_ = false;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace autoround::cuda
