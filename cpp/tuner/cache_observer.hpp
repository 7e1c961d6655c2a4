// The largest keys and values that a block's layers put into the cache, seen while the block runs over all samples in
// order. What padding makes is left out.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "model/forwarding_ops.hpp"
#include "quant/cache_format.hpp"
#include "tuner/block_tuner.hpp"

namespace autoround::tuner {

class CacheObserver final : public model::ForwardingOps {
 public:
  CacheObserver(const BlockData& data, model::Ops& inner) : ForwardingOps(inner), data_(data) {}

  at::Tensor attention(const model::AttentionInput& input) override;

  /// One a decoder layer, in the order in which they run.
  std::vector<quant::CacheRange> ranges() const;

 private:
  struct Layer {
    const model::AttentionSpec* spec = nullptr;  // tells layers apart
    quant::CacheRange range;
    std::size_t sample = 0;  // that comes next
  };
  Layer& layer_of(const model::AttentionSpec& spec);

  const BlockData& data_;
  std::vector<Layer> layers_;
};

}  // namespace autoround::tuner
