// Which experts of a block's layers real tokens go to, counted while the block runs over all samples in order.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "model/forwarding_ops.hpp"
#include "tuner/block_tuner.hpp"

namespace autoround::tuner {

class ExpertCount final : public model::ForwardingOps {
 public:
  ExpertCount(const BlockData& data, model::Ops& inner) : ForwardingOps(inner), data_(data) {}

  bool groups(const model::ExpertProjections& experts) const override { return inner().groups(experts); }
  void routed(const void* layer, const at::Tensor& experts, std::int64_t count) override;

  std::int64_t experts() const noexcept;  // of all layers; 0: they have none
  std::int64_t idle() const noexcept;     // experts that no real token went to in any pass

 private:
  struct Layer {
    std::size_t sample = 0;     // that comes next
    std::vector<bool> reached;  // by expert
  };

  const BlockData& data_;
  std::map<const void*, Layer> layers_;
};

}  // namespace autoround::tuner
