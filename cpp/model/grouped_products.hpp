// The matrix products of many experts in one call each: rows of tokens in the order of their experts, weights side by
// side in one tensor [E, out, in]. By LibTorch's grouped products; sums are fp32, rounded once.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "model/projection.hpp"

namespace autoround::model {

/// Which rows belong to which expert.
struct ExpertRows {
  at::Tensor ends;                   // int32 [E], where the rows are: the row after the last of each expert
  std::vector<std::int64_t> counts;  // [E], on the host
};

/// One projection of each expert of a layer.
using ExpertProjections = std::vector<const Projection*>;

/// The tensor whose slices the weights of all of them are, in order; undefined where they are not, or where grouped
/// products do not take them: they take bf16, without bias, rows of whole 16 bytes.
at::Tensor stack_of(const ExpertProjections& experts);

/// x [R, in] -> y [R, out]
at::Tensor grouped_forward(const at::Tensor& x, const at::Tensor& stack, const at::Tensor& ends);
/// dY [R, out] -> dX [R, in]
at::Tensor grouped_input_gradient(const at::Tensor& output_gradient, const at::Tensor& stack, const at::Tensor& ends);
/// -> dW [E, out, in]; of experts without rows: anything
at::Tensor grouped_weight_gradient(const at::Tensor& output_gradient, const at::Tensor& x, const at::Tensor& ends);

}  // namespace autoround::model
