// How far a block's output is from its target: squared error over real tokens, and its gradient, in one pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <gsl/span>

#include "tuner/outliers.hpp"

namespace autoround::tuner {

/// Sum of (prediction - target)^2 over the real tokens, computed in fp32 and summed in double, in an order that does
/// not depend on the number of threads. NaN and Inf propagate.
/// @param prediction,target [samples * length, hidden], contiguous, both bf16 or both fp32
/// @param lengths real tokens of each sample; the tokens after them are padding
/// @param gradient null, or a tensor like `prediction` that becomes scale * d(sum)/d(prediction), zero on padding
/// @param outliers null, or of these two: elements that count as equal to their targets
double squared_error(const at::Tensor& prediction, const at::Tensor& target, gsl::span<const std::int64_t> lengths,
                     std::int64_t length, at::Tensor* gradient = nullptr, float scale = 1.0f,
                     const Outliers* outliers = nullptr);

}  // namespace autoround::tuner
