// What comes into linears without padding, while a block runs over all samples in order: what is measured there is that
// of real tokens.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <vector>

#include "model/forwarding_ops.hpp"
#include "tuner/block_tuner.hpp"

namespace autoround::tuner {

class RealRows {
 public:
  /// @param data must outlive it
  explicit RealRows(const BlockData& data);

  /// As Ops::routed, before the experts run: which rows come to each.
  void routed(const void* layer, const at::Tensor& experts, std::int64_t count);
  /// x [rows, in] of a linear in pieces: of a routed expert at most one, of others one a sample.
  std::vector<at::Tensor> of(const model::Projection& projection, const at::Tensor& x);

 private:
  /// The sample that `reader`, a linear or a layer's router, comes to next; it reads so many.
  std::int64_t first_sample(const void* reader, std::int64_t count);

  const BlockData& data_;
  bool padded_;
  std::map<const void*, std::int64_t> next_;
  std::vector<at::Tensor> experts_;  // of each with rows, in order: int64, those that are real
  std::size_t linear_ = 0;           // of those experts, which have two each, that comes next
};

/// The base of operations that measure what comes into linears.
class ObservingOps : public model::ForwardingOps {
 public:
  ObservingOps(const BlockData& data, model::Ops& inner) : ForwardingOps(inner), rows_(data) {}

  void routed(const void* layer, const at::Tensor& experts, std::int64_t count) final {
    rows_.routed(layer, experts, count);
    inner().routed(layer, experts, count);
  }
  at::Tensor linear(const model::Projection& projection, const at::Tensor& x) final {
    observe(projection, rows_.of(projection, x));
    return inner().linear(projection, x);
  }

 private:
  /// @param pieces as RealRows::of gives them
  virtual void observe(const model::Projection& projection, const std::vector<at::Tensor>& pieces) = 0;

  RealRows rows_;
};

}  // namespace autoround::tuner
