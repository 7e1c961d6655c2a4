// Rows of which each token has several, one for each expert that it went to: their weighted sum and its gradients. On a
// CPU in one pass over the rows, elsewhere by LibTorch.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/buffer_pool.hpp"

namespace autoround::model {

/// sum over k of rows[position[k]] * weights[:, k], added up in fp32. A product is of the wider type of the two.
/// @param rows [T * K, H]
/// @param position int64 [K, T]
/// @param weights [T, K]; undefined: ones
/// -> [T, H] in the type of the rows
at::Tensor sum_copies(const at::Tensor& rows, const at::Tensor& position, const at::Tensor& weights, BufferPool& pool);

struct CopiesGradients {
  at::Tensor rows, weights;
};
/// @param token int64 [T * K]: of each row
/// @param gradient [T, H], of the sum
CopiesGradients sum_copies_gradients(const at::Tensor& rows, const at::Tensor& token, const at::Tensor& position,
                                     const at::Tensor& weights, const at::Tensor& gradient, BufferPool& pool);

}  // namespace autoround::model
