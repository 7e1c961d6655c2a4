// Operations that are another object's: the base of those that change one of them. Products of experts are not grouped,
// so that those who look at linears see them all.
#pragma once

#include "model/ops.hpp"

namespace autoround::model {

class ForwardingOps : public Ops {
 public:
  explicit ForwardingOps(Ops& inner) : inner_(inner) {}

  at::Tensor linear(const Projection& projection, const at::Tensor& x) override { return inner_.linear(projection, x); }
  at::Tensor grouped_linear(const ExpertProjections& experts, const ExpertRows& rows, const at::Tensor& x) override {
    return inner_.grouped_linear(experts, rows, x);
  }
  at::Tensor attention(const AttentionInput& input) override { return inner_.attention(input); }
  at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) override {
    return inner_.rms_norm(x, weight, eps);
  }
  std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight,
                                                 double eps) override {
    return inner_.add_rms_norm(x, delta, weight, eps);
  }
  at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) override {
    return inner_.layer_norm(x, weight, bias, eps);
  }
  at::Tensor gated_activation(const at::Tensor& gate_up, Activation activation) override {
    return inner_.gated_activation(gate_up, activation);
  }
  at::Tensor activation(const at::Tensor& x, Activation activation) override {
    return inner_.activation(x, activation);
  }
  c10::intrusive_ptr<BufferPool> memory() const override { return inner_.memory(); }
  bool norms_heads(const AttentionSpec& spec, at::ScalarType heads, at::ScalarType weight) const override {
    return inner_.norms_heads(spec, heads, weight);
  }
  void routed(const void* layer, const at::Tensor& experts, std::int64_t count) override {
    inner_.routed(layer, experts, count);
  }
  Recompute recompute_of(const at::Tensor& x) override { return inner_.recompute_of(x); }
  void set_recompute(const at::Tensor& x, Recompute recompute) override {
    inner_.set_recompute(x, std::move(recompute));
  }
  void end_pass() override { inner_.end_pass(); }

 protected:
  Ops& inner() const noexcept { return inner_; }

 private:
  Ops& inner_;
};

}  // namespace autoround::model
