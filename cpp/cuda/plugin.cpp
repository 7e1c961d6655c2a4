// libautoround_cuda.so: the table of kernels that libautoround.so asks for when a CUDA device is named.
#include <ATen/cuda/CUDAContextLight.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "cuda/launch.hpp"
#include "cuda/recorded_graph.hpp"

namespace autoround::cuda {
namespace {

cudaStream_t current() { return c10::cuda::getCurrentCUDAStream(); }

class CudaKernels final : public device::Kernels {
 public:
  void rms_norm(const device::RmsNorm& a) const override { cuda::rms_norm(a, current()); }
  void rms_norm_backward(const device::RmsNormBackward& a) const override { cuda::rms_norm_backward(a, current()); }
  void gated_activation(const device::GatedActivation& a) const override { cuda::gated_activation(a, current()); }
  void gated_activation_backward(const device::GatedActivationBackward& a) const override {
    cuda::gated_activation_backward(a, current());
  }
  void heads(const device::Heads& a) const override { cuda::heads(a, current()); }
  void heads_backward(const device::HeadsBackward& a) const override { cuda::heads_backward(a, current()); }

  void gather(const device::Gather& a) const override { cuda::gather(a, current()); }
  void loss(const device::Loss& a) const override { cuda::loss(a, current()); }
  void decide(const device::Decide& a) const override { cuda::decide(a, current()); }
  void advance(device::Progress* progress) const override { cuda::advance(progress, current()); }

  void forward(std::span<const device::Forward<device::IntegerWeight>> weights) const override {
    cuda::forward(weights, current());
  }
  void encode(const device::IntegerWeight& w, std::uint8_t* codes, void* scales, std::uint8_t* zeros) const override {
    cuda::encode(w, codes, scales, zeros, current());
  }
  void step(std::span<const device::Update<device::IntegerWeight>> weights) const override {
    cuda::step(weights, current());
  }
  void forward(std::span<const device::Forward<device::FloatWeight>> weights) const override {
    cuda::forward(weights, current());
  }
  void encode(const device::FloatWeight& w, std::uint8_t* codes, void* scales) const override {
    cuda::encode(w, codes, scales, current());
  }
  void step(std::span<const device::Update<device::FloatWeight>> weights) const override {
    cuda::step(weights, current());
  }
  void round_inputs(const device::InputRounding& a) const override { cuda::round_inputs(a, current()); }

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
};

}  // namespace
}  // namespace autoround::cuda

extern "C" __attribute__((visibility("default"))) const autoround::device::Kernels* autoround_device_kernels(
    std::uint32_t version) {
  static const autoround::cuda::CudaKernels kernels;
  return version == autoround::device::kKernelsVersion ? &kernels : nullptr;
}
