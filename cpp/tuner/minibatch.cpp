#include "tuner/minibatch.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include "model/buffer_pool.hpp"

namespace autoround::tuner {

MinibatchReader::MinibatchReader(const BlockData& data, const at::Tensor& prepared, std::int64_t capacity)
    : data_(data), prepared_(prepared) {
  const auto rows = capacity * data.length;
  const auto buffer_for = [&](const at::Tensor& stream) {
    return model::lasting_tensor({rows, stream.size(1)}, stream.scalar_type(), stream.device());
  };
  input_buffer_ = buffer_for(data.input);
  if (!prepared_.is_same(data.input)) prepared_buffer_ = buffer_for(prepared_);
  target_buffer_ = buffer_for(data.target);
}

Minibatch MinibatchReader::read(gsl::span<const std::int64_t> indices) {
  Minibatch batch;
  for (const auto index : indices) batch.lengths.push_back(data_.lengths[static_cast<std::size_t>(index)]);

  at::Tensor rows = at::empty({batch.samples()}, at::kLong);
  std::copy(indices.begin(), indices.end(), rows.mutable_data_ptr<std::int64_t>());
  rows = rows.to(data_.input.device());
  batch.input = gather(data_.input, input_buffer_, rows);
  batch.prepared = prepared_buffer_.defined() ? gather(prepared_, prepared_buffer_, rows) : batch.input;
  batch.target = gather(data_.target, target_buffer_, rows);
  return batch;
}

at::Tensor MinibatchReader::gather(const at::Tensor& stream, at::Tensor& buffer, const at::Tensor& indices) const {
  at::Tensor rows = buffer.narrow(0, 0, indices.size(0) * data_.length);
  at::Tensor samples = rows.view({indices.size(0), data_.length, stream.size(1)});
  at::index_select_out(samples, stream.view({-1, data_.length, stream.size(1)}), 0, indices);
  return rows;
}

}  // namespace autoround::tuner
