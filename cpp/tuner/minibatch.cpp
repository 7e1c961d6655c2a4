// Compiled with OpenMP (guided_for.hpp) and therefore without the precompiled header.
#include "tuner/minibatch.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <cstring>

#include "model/guided_for.hpp"
#include "model/mapped_memory.hpp"

namespace autoround::tuner {
namespace {

/// rows[i] = stream[indices[i]], of rows of equally many bytes on the CPU.
void copy_samples(at::Tensor& samples, const at::Tensor& stream, gsl::span<const std::int64_t> indices) {
  constexpr std::int64_t piece = 64 << 10;
  const std::int64_t bytes = static_cast<std::int64_t>(samples.nbytes()) / samples.size(0);
  const std::int64_t pieces = (bytes + piece - 1) / piece;
  const auto* from = static_cast<const std::byte*>(stream.const_data_ptr());
  auto* to = static_cast<std::byte*>(samples.mutable_data_ptr());
  model::guided_for(samples.size(0) * pieces, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t sample = i / pieces, at = i % pieces * piece;
      const std::int64_t index = indices[static_cast<std::size_t>(sample)];
      std::memcpy(to + sample * bytes + at, from + index * bytes + at,
                  static_cast<std::size_t>(std::min(piece, bytes - at)));
    }
  });
}

}  // namespace

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
  RECORD_FUNCTION("autoround::gather", c10::ArrayRef<const c10::IValue>{});  // for profilers
  at::Tensor rows = buffer.narrow(0, 0, places.size(0) * data_.length);
  at::Tensor samples = rows.view({places.size(0), data_.length, stream.size(1)});
  if (stream.is_cpu()) {
    copy_samples(samples, stream, indices);
  } else {
    at::index_select_out(samples, stream.view({-1, data_.length, stream.size(1)}), 0, places);
  }
  for (const auto index : indices) data_.streams.rest(stream.narrow(0, index * data_.length, data_.length));
  return rows;
}

}  // namespace autoround::tuner
