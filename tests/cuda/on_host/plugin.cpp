// A plug-in like libautoround_cuda.so for machines without a GPU: the source of its kernels compiled for the host, and
// a CUDA device of LibTorch (device.cpp, operations.cpp) that computes on the CPU. Everything but the GPU is what runs
// on one: with this file loaded in its place the tests of CUDA find a device.
#include <atomic>

#include "cuda/launched_kernels.hpp"
#include "queue.hpp"

extern "C" {
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t) { return ""; }
}

namespace autoround::cuda {
namespace {

class HostKernels final : public LaunchedKernels {
 public:
  std::unique_ptr<device::Graph> make_graph() const override { return on_host::make_graph(); }
  void release_memory() const override {}
  std::int64_t make_stream(int) const override {
    static std::atomic<std::int64_t> made = 0;
    return ++made;
  }
  int capability(int) const override { return 90; }
  std::string name(int) const override { return "the CPU in place of a GPU"; }

 private:
  cudaStream_t current() const override { return nullptr; }  // queue.hpp finds it
};

}  // namespace
}  // namespace autoround::cuda

extern "C" __attribute__((visibility("default"))) const autoround::device::Kernels* autoround_device_kernels(
    std::uint32_t version) {
  static const autoround::cuda::HostKernels kernels;
  return version == autoround::device::kKernelsVersion ? &kernels : nullptr;
}
