// Every kernel of the plug-in by the structure it takes: device/kernels.hpp. Queued on `stream`; arguments were checked
// by the caller. @throws Error device, out_of_memory: the launch was refused.
#pragma once

#include <cuda_runtime_api.h>

#include "device/kernels.hpp"

namespace autoround::cuda {

void rms_norm(const device::RmsNorm& a, cudaStream_t stream);
void rms_norm_backward(const device::RmsNormBackward& a, cudaStream_t stream);
void gated_activation(const device::GatedActivation& a, cudaStream_t stream);
void gated_activation_backward(const device::GatedActivationBackward& a, cudaStream_t stream);
void heads(const device::Heads& a, cudaStream_t stream);
void heads_backward(const device::HeadsBackward& a, cudaStream_t stream);

void gather(const device::Gather& a, cudaStream_t stream);
void loss(const device::Loss& a, cudaStream_t stream);
void decide(const device::Decide& a, cudaStream_t stream);
void advance(device::Progress* progress, cudaStream_t stream);

void forward(std::span<const device::Forward<device::IntegerWeight>> weights, cudaStream_t stream);
void encode(const device::IntegerWeight& w, std::uint8_t* codes, void* scales, std::uint8_t* zeros,
            cudaStream_t stream);
void step(std::span<const device::Update<device::IntegerWeight>> weights, cudaStream_t stream);
void forward(std::span<const device::Forward<device::FloatWeight>> weights, cudaStream_t stream);
void encode(const device::FloatWeight& w, std::uint8_t* codes, void* scales, cudaStream_t stream);
void step(std::span<const device::Update<device::FloatWeight>> weights, cudaStream_t stream);
void round_inputs(const device::InputRounding& a, cudaStream_t stream);

}  // namespace autoround::cuda
