// What the operations on a CUDA device ask of tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include "device/device.hpp"

namespace autoround::model {

/// Whether kernels of our own compute with x.
inline bool covered(const at::Tensor& x) {
  return x.is_cuda() && (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kFloat);
}

inline const device::Kernels& kernels_for(const at::Tensor& x) { return device::kernels(x.device()); }

/// Null of an undefined tensor.
inline const void* data(const at::Tensor& x) { return x.defined() ? x.const_data_ptr() : nullptr; }

}  // namespace autoround::model
