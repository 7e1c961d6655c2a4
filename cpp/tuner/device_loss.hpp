// The loss as a device's kernel takes it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <gsl/span>

#include "device/kernels.hpp"

namespace autoround::tuner {

/// int64 [samples], on `device`.
at::Tensor lengths_on(at::Device device, gsl::span<const std::int64_t> lengths);

/// Of squared_error()'s arguments; `lengths` and what is added up, fp64 [rows], on the device. Refers to the tensors.
device::Loss device_loss(const at::Tensor& prediction, const at::Tensor& target, const at::Tensor& lengths,
                         std::int64_t length, at::Tensor* gradient, float scale, double* errors);

}  // namespace autoround::tuner
