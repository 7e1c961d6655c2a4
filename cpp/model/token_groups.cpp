#include "model/token_groups.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "model/autograd_names.hpp"
#include "model/kept_pool.hpp"
#include "model/token_copies.hpp"

namespace autoround::model {
namespace {

/// x[places]
at::Tensor rows_at(const at::Tensor& x, const at::Tensor& places, BufferPool& pool) {
  at::Tensor rows = pool.take({places.size(0), x.size(1)}, x.options());
  return at::index_select_out(rows, x, 0, places);
}

/// x[token] in groups of so many rows, tensors of their own over one memory, with the gradients of a token's copies
/// added up.
struct Split : Function<Split> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& token,
                               const at::Tensor& position, const std::vector<std::int64_t>& sizes, const Pool& pool) {
    ctx->save_for_backward({position});
    keep_pool(ctx, pool);
    const at::Tensor rows = rows_at(x, token, *pool);
    if (sizes.size() == 1) return {rows};
    variable_list groups;
    std::int64_t first = 0;
    for (const std::int64_t size : sizes) {
      groups.push_back(at::empty({0}, rows.options()).set_(rows.storage(), first * rows.size(1), {size, rows.size(1)}));
      first += size;
    }
    return groups;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const at::Tensor position = ctx->get_saved_variables()[0];
    const Pool pool = kept_pool(ctx);
    at::Tensor rows = gradients.front();
    if (gradients.size() > 1) {
      rows = pool->take({position.numel(), rows.size(1)}, rows.options());
      at::cat_out(rows, gradients);
    }
    return {sum_copies(rows, position, at::Tensor(), *pool), Variable(), Variable(), Variable(), Variable()};
  }
};

struct Combine : Function<Combine> {
  static Variable forward(AutogradContext* ctx, at::TensorList groups, const at::Tensor& weights,
                          const at::Tensor& token, const at::Tensor& position, const Pool& pool) {
    at::Tensor rows = groups.front();
    if (groups.size() > 1) {
      rows = pool->take({token.size(0), rows.size(1)}, rows.options());
      at::cat_out(rows, groups);
    }
    std::vector<std::int64_t> sizes;
    for (const at::Tensor& group : groups) sizes.push_back(group.size(0));
    ctx->saved_data["sizes"] = sizes;
    ctx->save_for_backward({rows, weights, token, position});
    keep_pool(ctx, pool);
    return sum_copies(rows, position, weights, *pool);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &rows = saved[0], &weights = saved[1], &token = saved[2], &position = saved[3];
    const CopiesGradients found = sum_copies_gradients(rows, token, position, weights, gradients[0], *kept_pool(ctx));
    variable_list result = found.rows.split_with_sizes(ctx->saved_data["sizes"].toIntVector());
    result.insert(result.end(), {found.weights, Variable(), Variable(), Variable()});
    return result;
  }
};

}  // namespace

TokenGroups::TokenGroups(const at::Tensor& experts, std::int64_t count, Pool pool) : pool_(std::move(pool)) {
  const std::int64_t copies = experts.size(1);
  const at::Tensor flat = experts.reshape(-1);
  const at::Tensor order = at::argsort(flat, /*stable=*/true);
  token_ = at::floor_divide(order, copies);
  const at::Tensor row = at::empty_like(order).index_copy_(0, order, at::arange(order.size(0), order.options()));
  position_ = row.view({-1, copies}).t().contiguous();
  const at::Tensor counts = at::bincount(flat, {}, count);
  rows_.ends = counts.cumsum(0, at::kInt);
  const at::Tensor seen = counts.cpu();
  const auto* first = seen.const_data_ptr<std::int64_t>();
  rows_.counts.assign(first, first + count);
}

at::Tensor TokenGroups::spread(const at::Tensor& x) const {
  return Split::apply(x, token_, position_, std::vector<std::int64_t>{token_.size(0)}, pool_)[0];
}

std::vector<std::pair<std::int64_t, at::Tensor>> TokenGroups::split(const at::Tensor& x) const {
  std::vector<std::int64_t> experts, sizes;
  for (std::size_t i = 0; i < rows_.counts.size(); ++i) {
    if (rows_.counts[i] == 0) continue;
    experts.push_back(static_cast<std::int64_t>(i));
    sizes.push_back(rows_.counts[i]);
  }
  std::vector<std::pair<std::int64_t, at::Tensor>> groups;
  const variable_list rows = Split::apply(x, token_, position_, sizes, pool_);
  for (std::size_t i = 0; i < rows.size(); ++i) groups.emplace_back(experts[i], rows[i]);
  return groups;
}

at::Tensor TokenGroups::combine(const std::vector<at::Tensor>& rows, const at::Tensor& weights) const {
  return Combine::apply(at::TensorList(rows), weights, token_, position_, pool_);
}

}  // namespace autoround::model
