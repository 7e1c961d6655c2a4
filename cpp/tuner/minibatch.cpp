#include "tuner/minibatch.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include "model/buffer_pool.hpp"

namespace autoround::tuner {

MinibatchReader::MinibatchReader(const BlockData& data, const at::Tensor& normed, std::int64_t capacity)
    : data_(data), normed_(normed) {
  const auto rows = capacity * data.length;
  for (at::Tensor* buffer : {&input_buffer_, &normed_buffer_, &target_buffer_}) {
    *buffer = model::mapped_tensor({rows, data.input.size(1)}, data.input.scalar_type());
  }
}

Minibatch MinibatchReader::read(gsl::span<const std::int64_t> indices) {
  Minibatch batch;
  for (const auto index : indices) batch.lengths.push_back(data_.lengths[static_cast<std::size_t>(index)]);

  at::Tensor rows = at::empty({batch.samples()}, at::kLong);
  std::copy(indices.begin(), indices.end(), rows.mutable_data_ptr<std::int64_t>());
  batch.input = gather(data_.input, input_buffer_, rows);
  batch.normed = gather(normed_, normed_buffer_, rows);
  batch.target = gather(data_.target, target_buffer_, rows);
  return batch;
}

at::Tensor MinibatchReader::gather(const at::Tensor& stream, at::Tensor& buffer, const at::Tensor& indices) const {
  const auto hidden = stream.size(1);
  at::Tensor rows = buffer.narrow(0, 0, indices.size(0) * data_.length);
  at::Tensor samples = rows.view({indices.size(0), data_.length, hidden});
  at::index_select_out(samples, stream.view({-1, data_.length, hidden}), 0, indices);
  return rows;
}

}  // namespace autoround::tuner
