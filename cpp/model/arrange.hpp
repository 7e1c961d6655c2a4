// Copies of parts of tensors side by side in another one, as one differentiable operation: where LibTorch's own would
// leave a tensor in the C library's heap for each step, and another for its gradient.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <utility>
#include <vector>

#include "model/buffer_pool.hpp"

namespace autoround::model {

/// Pairs of views, of an input and of the output: the second gets what is in the first, which may be expanded.
using Places = std::vector<std::pair<at::Tensor, at::Tensor>>;
/// Given tensors of the shapes of the inputs and of the output, now or in the backward pass. No element is in two
/// views, but for those of an expanded one; what is in none is zero in the output and in the gradients of inputs.
using Arrangement = std::function<Places(const std::vector<at::Tensor>& inputs, const at::Tensor& output)>;

/// @param sizes of the output, whose type is that of the inputs
/// @param pool where the output and gradients are; null: in memory of LibTorch's
at::Tensor arrange(const std::vector<at::Tensor>& inputs, at::IntArrayRef sizes, const Arrangement& arrangement,
                   const c10::intrusive_ptr<BufferPool>& pool);

}  // namespace autoround::model
