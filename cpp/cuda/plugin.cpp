// libautoround_cuda.so: the table of kernels that libautoround.so asks for when a CUDA device is named.
#include <ATen/cuda/CUDAContextLight.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "cuda/launched_kernels.hpp"
#include "cuda/recorded_graph.hpp"

namespace autoround::cuda {
namespace {

class CudaKernels final : public LaunchedKernels {
 public:
  std::unique_ptr<device::Graph> make_graph() const override { return std::make_unique<RecordedGraph>(); }
  void release_memory() const override { c10::cuda::CUDACachingAllocator::emptyCache(); }

  std::int64_t make_stream(int device) const override {
    const c10::cuda::CUDAGuard on(static_cast<c10::DeviceIndex>(device));
    cudaStream_t stream = nullptr;
    C10_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return c10::cuda::getStreamFromExternal(stream, static_cast<c10::DeviceIndex>(device)).id();
  }
  int capability(int device) const override {
    int major = 0, minor = 0;
    C10_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
    C10_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
    return 10 * major + minor;
  }
  std::string name(int device) const override {
    int version = 0;
    C10_CUDA_CHECK(cudaDriverGetVersion(&version));
    return std::string(at::cuda::getDeviceProperties(static_cast<c10::DeviceIndex>(device))->name) +
           ", driver of CUDA " + std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
  }

 private:
  cudaStream_t current() const override { return c10::cuda::getCurrentCUDAStream(); }
};

}  // namespace
}  // namespace autoround::cuda

extern "C" __attribute__((visibility("default"))) const autoround::device::Kernels* autoround_device_kernels(
    std::uint32_t version) {
  static const autoround::cuda::CudaKernels kernels;
  return version == autoround::device::kKernelsVersion ? &kernels : nullptr;
}
