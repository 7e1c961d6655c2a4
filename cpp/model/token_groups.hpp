// Tokens in the order of the experts that they go to, and back. Every way takes and adds whole rows in a fixed order,
// so that results do not depend on threads, and gradients take no more memory than what they are gradients of.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/intrusive_ptr.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "model/buffer_pool.hpp"
#include "model/grouped_products.hpp"

namespace autoround::model {

class TokenGroups {
 public:
  /// @param experts int64 [T, K], each in [0, count); T > 0
  /// @param pool where rows that go to experts and come back are
  TokenGroups(const at::Tensor& experts, std::int64_t count, c10::intrusive_ptr<BufferPool> pool);

  /// x [T, H] with a row for each expert of a token, in the order of the experts. -> [T * K, H]. Differentiable.
  at::Tensor spread(const at::Tensor& x) const;
  const ExpertRows& rows() const noexcept { return rows_; }
  /// The rows of x [T, H] that each expert gets, experts without any left out. Differentiable.
  std::vector<std::pair<std::int64_t, at::Tensor>> split(const at::Tensor& x) const;
  /// Rows that the experts made of those, in the order of `split`, times their weights [T, K] and added up in fp32.
  /// -> [T, H] in the type of the rows. Differentiable.
  at::Tensor combine(const std::vector<at::Tensor>& rows, const at::Tensor& weights) const;

 private:
  at::Tensor token_;     // [T * K]: of each row
  at::Tensor position_;  // [K, T]: the row that holds the k-th copy of a token
  ExpertRows rows_;
  c10::intrusive_ptr<BufferPool> pool_;
};

}  // namespace autoround::model
