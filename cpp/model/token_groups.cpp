#include "model/token_groups.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace autoround::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

/// sum over k of rows[position[k]] * weights[:, k], added up in fp32. -> [T, H]
at::Tensor gather_sum(const at::Tensor& rows, const at::Tensor& position, const at::Tensor& weights) {
  at::Tensor sum = at::zeros({position.size(1), rows.size(1)}, rows.options().dtype(at::kFloat));
  for (std::int64_t k = 0; k < position.size(0); ++k) {
    const at::Tensor copies = rows.index_select(0, position[k]);
    sum.add_(weights.defined() ? copies * weights.select(1, k).unsqueeze(1) : copies);
  }
  return sum.to(rows.scalar_type());
}

/// x[token], with the gradients of a token's copies added up.
struct Spread : Function<Spread> {
  static Variable forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& token,
                          const at::Tensor& position) {
    ctx->save_for_backward({position});
    return x.index_select(0, token);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const at::Tensor position = ctx->get_saved_variables()[0];
    return {gather_sum(gradients[0], position, at::Tensor()), Variable(), Variable()};
  }
};

struct Combine : Function<Combine> {
  static Variable forward(AutogradContext* ctx, const at::Tensor& rows, const at::Tensor& weights,
                          const at::Tensor& token, const at::Tensor& position) {
    ctx->save_for_backward({rows, weights, token, position});
    return gather_sum(rows, position, weights);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &rows = saved[0], &weights = saved[1], &token = saved[2], &position = saved[3];
    const at::Tensor& gradient = gradients[0];
    at::Tensor weight_of_row = at::empty({rows.size(0), 1}, weights.options());
    weight_of_row.index_put_({position.reshape(-1)}, weights.t().reshape({-1, 1}));
    at::Tensor of_weights = at::empty_like(weights);
    for (std::int64_t k = 0; k < position.size(0); ++k)
      of_weights.select(1, k).copy_((gradient * rows.index_select(0, position[k])).sum(1, false, at::kFloat));
    return {gradient.index_select(0, token).mul_(weight_of_row), of_weights, Variable(), Variable()};
  }
};

}  // namespace

TokenGroups::TokenGroups(const at::Tensor& experts, std::int64_t count) {
  const std::int64_t copies = experts.size(1);
  const at::Tensor flat = experts.reshape(-1);
  const at::Tensor order = at::argsort(flat, /*stable=*/true);
  token_ = at::floor_divide(order, copies);
  const at::Tensor row = at::empty_like(order).index_copy_(0, order, at::arange(order.size(0), order.options()));
  position_ = row.view({-1, copies}).t().contiguous();
  const at::Tensor counts = at::bincount(flat, {}, count).cpu();
  const auto* first = counts.const_data_ptr<std::int64_t>();
  counts_.assign(first, first + count);
}

std::vector<std::pair<std::int64_t, at::Tensor>> TokenGroups::split(const at::Tensor& x) const {
  std::vector<std::int64_t> experts, sizes;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] == 0) continue;
    experts.push_back(static_cast<std::int64_t>(i));
    sizes.push_back(counts_[i]);
  }
  std::vector<std::pair<std::int64_t, at::Tensor>> groups;
  const std::vector<at::Tensor> rows = Spread::apply(x, token_, position_).split_with_sizes(sizes);
  for (std::size_t i = 0; i < rows.size(); ++i) groups.emplace_back(experts[i], rows[i]);
  return groups;
}

at::Tensor TokenGroups::combine(const std::vector<at::Tensor>& rows, const at::Tensor& weights) const {
  return Combine::apply(at::cat(rows), weights, token_, position_);
}

}  // namespace autoround::model
