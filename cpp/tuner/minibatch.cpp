#include "tuner/minibatch.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include "model/buffer_pool.hpp"

namespace autoround::tuner {

MinibatchReader::MinibatchReader(const BlockData& data, std::int64_t capacity) : data_(data) {
  const auto rows = capacity * data.length;
  const auto buffer_for = [&](const at::Tensor& stream) {
    return model::lasting_tensor({rows, stream.size(1)}, stream.scalar_type(), stream.device());
  };
  input_buffer_ = buffer_for(data.input);
  target_buffer_ = buffer_for(data.target);
}

Minibatch MinibatchReader::read(gsl::span<const std::int64_t> indices) {
  Minibatch batch;
  for (const auto index : indices) batch.lengths.push_back(data_.lengths[static_cast<std::size_t>(index)]);

  at::Tensor places = at::empty({batch.samples()}, at::kLong);
  std::copy(indices.begin(), indices.end(), places.mutable_data_ptr<std::int64_t>());
  places = places.to(data_.input.device());
  batch.input = gather(data_.input, input_buffer_, indices, places);
  batch.target = gather(data_.target, target_buffer_, indices, places);
  return batch;
}

at::Tensor MinibatchReader::gather(const at::Tensor& stream, at::Tensor& buffer, gsl::span<const std::int64_t> indices,
                                   const at::Tensor& places) const {
  at::Tensor rows = buffer.narrow(0, 0, places.size(0) * data_.length);
  at::Tensor samples = rows.view({places.size(0), data_.length, stream.size(1)});
  at::index_select_out(samples, stream.view({-1, data_.length, stream.size(1)}), 0, places);
  for (const auto index : indices) data_.streams.rest(stream.narrow(0, index * data_.length, data_.length));
  return rows;
}

}  // namespace autoround::tuner
