// Weights, parameters and gradients that the tests of quant/ run on.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <vector>

#include "quant/rounding.hpp"

namespace autoround::quant::test {

/// Values of one bit width, symmetry, grouping and dtypes.
inline WeightFormat format(int bits, bool symmetric, std::int64_t group, at::ScalarType scale_type = at::kHalf) {
  WeightFormat result;
  result.bits = bits;
  result.symmetric = symmetric;
  result.group = group;
  result.scale_type = scale_type;
  return result;
}

inline at::Tensor normal(at::IntArrayRef shape, std::uint64_t seed) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
}

/// A weight with whole groups of zeros, constants, one sign, equal extremes and tiny values among random ones.
inline at::Tensor mixed_weight(std::int64_t rows, std::int64_t columns, std::int64_t group) {
  at::Tensor weight = normal({rows, columns}, 11) * 0.05;
  const std::int64_t span = group > 0 ? std::min(group, columns) : columns;
  const auto first = [&](std::int64_t row) { return weight.select(0, row).narrow(0, 0, span); };
  first(0).zero_();
  first(1).fill_(0.37);
  first(2).abs_();
  first(3).abs_().neg_();
  first(4).mul_(1e-5);
  weight.select(0, 5).clamp_(-0.1, 0.1);
  weight.index_put_({at::tensor({5, 5}), at::tensor({0, 1})}, at::tensor({0.125f, -0.125f}));
  return weight;
}

/// A state in mid-tuning: V moved, scale factors shrunk, some just outside [0, 1].
inline RoundingState moved_state(const WeightFormat& format, std::int64_t rows, std::int64_t columns,
                                 at::ScalarType dtype) {
  RoundingState state = make_rounding_state(format, mixed_weight(rows, columns, format.group).to(dtype), true, true);
  state.value.copy_(normal({rows, columns}, 12) * 0.3);
  state.min_scale.sub_(normal(state.min_scale.sizes(), 13).abs() * 0.2 - 0.01);
  state.max_scale.sub_(normal(state.max_scale.sizes(), 14).abs() * 0.2 - 0.01);
  return state;
}

/// A copy that shares no memory that a step changes.
inline RoundingState copy(const RoundingState& state) {
  RoundingState result = state;
  for (at::Tensor* part : {&result.value, &result.min_scale, &result.max_scale})
    if (part->defined()) *part = part->clone();
  result.best_codes = result.best_scales = result.best_zero_points = at::Tensor();
  return result;
}

/// Equal to the last bit, signs of zeros included.
inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() && !b.defined()) return true;
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         at::equal(a.contiguous().view(at::kByte), b.contiguous().view(at::kByte));
}

/// W' before and after its bf16 scale was rounded to be written: half a step, and half a step of W' itself.
inline bool nearly_same(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && at::allclose(a, b, /*rtol=*/0.01, /*atol=*/0);
}

}  // namespace autoround::quant::test
