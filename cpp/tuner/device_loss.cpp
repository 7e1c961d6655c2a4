#include "tuner/device_loss.hpp"

#include <ATen/ops/tensor.h>

#include "device/device.hpp"

namespace autoround::tuner {

at::Tensor lengths_on(at::Device device, gsl::span<const std::int64_t> lengths) {
  return at::tensor(at::IntArrayRef(lengths.data(), lengths.size()), at::kLong).to(device);
}

device::Loss device_loss(const at::Tensor& prediction, const at::Tensor& target, const at::Tensor& lengths,
                         std::int64_t length, at::Tensor* gradient, float scale, double* errors) {
  device::Loss loss;
  loss.element = device::element_of(prediction);
  loss.rows = prediction.size(0);
  loss.width = prediction.size(1);
  loss.length = length;
  loss.lengths = lengths.const_data_ptr<std::int64_t>();
  loss.scale = scale;
  loss.prediction = prediction.const_data_ptr();
  loss.target = target.const_data_ptr();
  loss.gradient = gradient != nullptr ? gradient->mutable_data_ptr() : nullptr;
  loss.errors = errors;
  return loss;
}

}  // namespace autoround::tuner
