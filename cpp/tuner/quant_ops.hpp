// A layer's operations with its quantized linears replaced by trainable ones; everything else is forwarded.
#pragma once

#include "model/buffer_pool.hpp"
#include "model/linear_products.hpp"
#include "model/ops.hpp"
#include "tuner/rounding_states.hpp"

namespace autoround::tuner {

/// With gradients enabled, `linear` of a tuned projection records a node whose backward hands dW' to the states as
/// soon as it exists: neither dW' nor a gradient of V is ever kept. Nodes refer to this object and the states, so
/// these must outlive the graph.
class QuantOps final : public model::Ops {
 public:
  QuantOps(RoundingStates& states, model::Ops& inner) : states_(states), inner_(inner), products_(states.fused()) {}

  at::Tensor linear(const model::Projection& projection, const at::Tensor& x) override;
  at::Tensor attention(const model::AttentionInput& input) override { return inner_.attention(input); }
  at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) override {
    return inner_.rms_norm(x, weight, eps);
  }
  std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight,
                                                 double eps) override {
    return inner_.add_rms_norm(x, delta, weight, eps);
  }
  at::Tensor gated_activation(const at::Tensor& gate_up, model::Activation activation) override {
    return inner_.gated_activation(gate_up, activation);
  }

 private:
  RoundingStates& states_;
  model::Ops& inner_;
  model::LinearProducts products_;
  model::BufferPool pool_;
};

}  // namespace autoround::tuner
