// The kernels of launch.hpp as the table that libautoround.so asks for. Who makes the plug-in says on which stream they
// are queued, and adds what is no kernel.
#pragma once

#include "cuda/launch.hpp"

namespace autoround::cuda {

class LaunchedKernels : public device::Kernels {
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

 private:
  virtual cudaStream_t current() const = 0;
};

}  // namespace autoround::cuda
