#include "cuda/recorded_graph.hpp"

#include <ATen/cuda/MemPool.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

namespace autoround::cuda {

namespace allocator = c10::cuda::CUDACachingAllocator;

void RecordedGraph::begin() {
  const c10::cuda::CUDAStream stream = c10::cuda::getCurrentCUDAStream();
  device_ = stream.device_index();
  stream_ = stream.stream();
  pool_ = at::cuda::MemPool::graph_pool_handle(/*is_user_created=*/false);
  // Before the recording itself: what LibTorch frees on other threads may not queue events on a stream that records.
  allocator::beginAllocateToPool(device_, pool_, [recorded = stream_](cudaStream_t used) { return used == recorded; });
  has_pool_ = recording_ = true;
  // Relaxed: other threads of the host may call CUDA as they like meanwhile.
  C10_CUDA_CHECK(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed));
}

cudaError_t RecordedGraph::stop_recording(cudaGraph_t& recorded) {
  recording_ = false;
  const cudaError_t ended = cudaStreamEndCapture(stream_, &recorded);
  allocator::endAllocateToPool(device_, pool_);
  return ended;
}

void RecordedGraph::end() {
  cudaGraph_t recorded = nullptr;
  C10_CUDA_CHECK(stop_recording(recorded));
  // As LibTorch instantiates its own; the first flag is for its cudaMallocAsync backend.
  const cudaError_t made = cudaGraphInstantiateWithFlags(
      &executable_, recorded, cudaGraphInstantiateFlagAutoFreeOnLaunch | cudaGraphInstantiateFlagUseNodePriority);
  const cudaError_t destroyed = cudaGraphDestroy(recorded);
  C10_CUDA_CHECK(made);
  C10_CUDA_CHECK(destroyed);
  C10_CUDA_CHECK(cudaGraphUpload(executable_, stream_));  // takes what memory it needs where lack of it is forgiven
}

void RecordedGraph::run() { C10_CUDA_CHECK(cudaGraphLaunch(executable_, c10::cuda::getCurrentCUDAStream())); }

RecordedGraph::~RecordedGraph() {
  try {
    if (recording_) {
      cudaGraph_t unfinished = nullptr;
      stop_recording(unfinished);
      if (unfinished != nullptr) cudaGraphDestroy(unfinished);
    }
    if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
    if (has_pool_) allocator::releasePool(device_, pool_);
  } catch (const c10::Error&) {
    // Of the allocator's bookkeeping. Nobody asked for a result.
  }
  static_cast<void>(cudaGetLastError());  // that recording failed was said by what failed in it
}

}  // namespace autoround::cuda
