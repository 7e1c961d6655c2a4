// Samples of a block's streams gathered into one contiguous minibatch, in memory that every iteration uses again.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <gsl/span>
#include <vector>

#include "tuner/block_tuner.hpp"

namespace autoround::tuner {

struct Minibatch {
  at::Tensor input, target;           // [samples * length, width]
  std::vector<std::int64_t> lengths;  // real tokens of each sample
  std::int64_t samples() const { return static_cast<std::int64_t>(lengths.size()); }
};

class MinibatchReader {
 public:
  /// @param capacity samples of the largest minibatch
  MinibatchReader(const BlockData& data, std::int64_t capacity);
  /// The samples at `indices`, in that order. Valid until the next call.
  Minibatch read(gsl::span<const std::int64_t> indices);

 private:
  at::Tensor gather(const at::Tensor& stream, at::Tensor& buffer, gsl::span<const std::int64_t> indices,
                    const at::Tensor& places) const;

  const BlockData& data_;
  at::Tensor input_buffer_, target_buffer_;
};

}  // namespace autoround::tuner
