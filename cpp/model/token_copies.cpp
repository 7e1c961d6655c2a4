// Compiled with OpenMP (row_loops.hpp) and therefore without the precompiled header.
#include "model/token_copies.hpp"

#include <ATen/ATen.h>

#include "model/row_loops.hpp"

namespace autoround::model {
namespace {

at::Tensor rows_at(const at::Tensor& x, const at::Tensor& places) { return x.index_select(0, places); }

at::Tensor plain_sum(const at::Tensor& rows, const at::Tensor& position, const at::Tensor& weights) {
  at::Tensor sum = at::zeros({position.size(1), rows.size(1)}, rows.options().dtype(at::kFloat));
  for (std::int64_t k = 0; k < position.size(0); ++k) {
    const at::Tensor copies = rows_at(rows, position[k]);
    sum.add_(weights.defined() ? copies * weights.select(1, k).unsqueeze(1) : copies);
  }
  return sum.to(rows.scalar_type());
}

CopiesGradients plain_gradients(const at::Tensor& rows, const at::Tensor& token, const at::Tensor& position,
                                const at::Tensor& weights, const at::Tensor& gradient) {
  at::Tensor weight_of_row = at::empty({rows.size(0), 1}, weights.options());
  weight_of_row.index_put_({position.reshape(-1)}, weights.t().reshape({-1, 1}));
  at::Tensor of_weights = at::empty_like(weights);
  for (std::int64_t k = 0; k < position.size(0); ++k) {
    const at::Tensor product = rows_at(rows, position[k]).mul_(gradient);
    of_weights.select(1, k).copy_(product.sum(1, false, at::kFloat));
  }
  return {rows_at(gradient, token).mul_(weight_of_row), of_weights};
}

}  // namespace

at::Tensor sum_copies(const at::Tensor& rows, const at::Tensor& position, const at::Tensor& weights, BufferPool& pool) {
  if (!has_row_kernels(rows)) return plain_sum(rows, position, weights);
  const at::Tensor dense = rows.contiguous(), places = position.contiguous();
  const at::Tensor wide = weights.defined() ? weights.to(at::kFloat).contiguous() : weights;
  at::Tensor y = pool.take({position.size(1), rows.size(1)}, rows.options());
  kernels::SumCopies a;
  a.rows = dense.const_data_ptr();
  a.position = places.const_data_ptr<std::int64_t>();
  a.weights = wide.defined() ? wide.const_data_ptr<float>() : nullptr;
  a.narrow_weights = weights.defined() && weights.scalar_type() == rows.scalar_type();
  a.y = y.mutable_data_ptr();
  a.tokens = y.size(0);
  a.copies = position.size(0);
  a.width = y.size(1);
  run_rows(row_kernels(rows).sum_copies, a, a.tokens);
  return y;
}

CopiesGradients sum_copies_gradients(const at::Tensor& rows, const at::Tensor& token, const at::Tensor& position,
                                     const at::Tensor& weights, const at::Tensor& gradient, BufferPool& pool) {
  if (!has_row_kernels(rows)) return plain_gradients(rows, token, position, weights, gradient);
  const at::Tensor dense = rows.contiguous(), dense_gradient = gradient.contiguous(), places = position.contiguous();
  const at::Tensor wide = weights.to(at::kFloat).contiguous();
  at::Tensor of_rows = pool.take(rows.sizes(), rows.options()), of_weights = at::empty_like(wide);
  kernels::SumCopiesBackward a;
  a.rows = dense.const_data_ptr();
  a.grad_y = dense_gradient.const_data_ptr();
  a.position = places.const_data_ptr<std::int64_t>();
  a.weights = wide.const_data_ptr<float>();
  a.grad_rows = of_rows.mutable_data_ptr();
  a.grad_weights = of_weights.mutable_data_ptr<float>();
  a.tokens = gradient.size(0);
  a.copies = position.size(0);
  a.width = rows.size(1);
  run_rows(row_kernels(rows).sum_copies_backward, a, a.tokens);
  return {of_rows, of_weights.to(weights.scalar_type())};
}

}  // namespace autoround::model
