// What the tests of operations on a device share.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "support/catch.hpp"
#include "unit/model_kernels/reference.hpp"

namespace autoround::model {

using Tensors = std::vector<at::Tensor>;

inline constexpr double kEps = 1e-5;

inline double tolerance(at::ScalarType type) { return type == at::kFloat ? 1e-5 : 1e-2; }

inline at::ScalarType any_type() { return GENERATE(at::kBFloat16, at::kFloat); }

inline at::Tensor random_weight(std::int64_t width, at::ScalarType type, std::uint64_t seed) {
  return (1.0 + 0.3 * reference::random({width}, at::kFloat, seed)).to(type);
}

}  // namespace autoround::model
