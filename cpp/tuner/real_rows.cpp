#include "tuner/real_rows.hpp"

#include <ATen/ATen.h>

#include <algorithm>

namespace autoround::tuner {

RealRows::RealRows(const BlockData& data)
    : data_(data), padded_(std::any_of(data.lengths.begin(), data.lengths.end(), [&](std::int64_t length) {
        return length < data.length;
      })) {}

std::int64_t RealRows::first_sample(const void* reader, std::int64_t count) {
  std::int64_t& next = next_[reader];
  const std::int64_t first = next;
  next = (next + count) % static_cast<std::int64_t>(data_.lengths.size());
  return first;
}

void RealRows::routed(const void* layer, const at::Tensor& experts, std::int64_t count) {
  if (!padded_) return;
  experts_.clear();
  linear_ = 0;
  const std::int64_t samples = experts.size(0) / data_.length, first = first_sample(layer, samples);
  const at::Tensor all = at::tensor(data_.lengths, at::kLong).narrow(0, first, samples).to(experts.device());
  const at::Tensor flat = experts.reshape({-1});  // each expert has its rows in this order
  const at::Tensor token = flat.argsort(/*stable=*/true, 0).floor_divide(experts.size(1));
  const at::Tensor real = token.remainder(data_.length) < all.index_select(0, token.floor_divide(data_.length));
  const at::Tensor rows = flat.bincount({}, count).cpu();
  std::int64_t begin = 0;
  for (std::int64_t expert = 0; expert < count; ++expert) {
    const std::int64_t own = rows.const_data_ptr<std::int64_t>()[expert];
    if (own > 0) experts_.push_back(real.narrow(0, begin, own).nonzero().flatten());
    begin += own;
  }
}

std::vector<at::Tensor> RealRows::of(const model::Projection& projection, const at::Tensor& x) {
  if (!projection.expert_role.empty()) {
    if (!padded_) return {x};
    const at::Tensor& rows = experts_.at(linear_++ / 2);
    if (rows.numel() == 0) return {};
    return {x.index_select(0, rows)};
  }
  std::vector<at::Tensor> pieces;
  const std::int64_t samples = x.size(0) / data_.length, first = first_sample(&projection, samples);
  for (std::int64_t i = 0; i < samples; ++i) {
    const std::int64_t length = data_.lengths[static_cast<std::size_t>(first + i)];
    if (length > 0) pieces.push_back(x.narrow(0, i * data_.length, length));
  }
  return pieces;
}

}  // namespace autoround::tuner
