// A block's operations with its quantized linears replaced by trainable ones; everything else is forwarded.
#pragma once

#include "model/buffer_pool.hpp"
#include "model/forwarding_ops.hpp"
#include "model/linear_products.hpp"
#include "tuner/real_rows.hpp"
#include "tuner/rounding_states.hpp"

namespace autoround::tuner {

/// With gradients enabled, `linear` of a tuned projection records a node whose backward hands dW' to the states as
/// soon as it exists: neither dW' nor a gradient of V is ever kept. Nodes refer to this object and the states, so
/// these must outlive the graph. Inputs that are quantized are rounded first; gradients pass straight through rounding.
class QuantOps final : public model::ForwardingOps {
 public:
  QuantOps(RoundingStates& states, model::Ops& inner)
      : ForwardingOps(inner), states_(states), products_(states.fused()) {}

  at::Tensor linear(const model::Projection& projection, const at::Tensor& x) override;
  /// Where the inner operations group them and none rounds its input, which each does with a scale of its own.
  bool groups(const model::ExpertProjections& experts) const override;
  at::Tensor grouped_linear(const model::ExpertProjections& experts, const model::ExpertRows& rows,
                            const at::Tensor& x) override;

 private:
  RoundingStates& states_;
  model::LinearProducts products_;
  model::BufferPool pool_;
};

/// Shows the states what comes into each linear: real tokens, as any token may stand for padding.
class CalibrationOps final : public ObservingOps {
 public:
  CalibrationOps(RoundingStates& states, const BlockData& data, model::Ops& inner)
      : ObservingOps(data, inner), states_(states) {}

 private:
  void observe(const model::Projection& projection, const std::vector<at::Tensor>& pieces) override {
    for (const at::Tensor& rows : pieces) states_.observe(projection, rows);
  }

  RoundingStates& states_;
};

}  // namespace autoround::tuner
