// The operations on a CUDA device: kernels of our own (device/kernels.hpp) around LibTorch's matrix products and
// attention.
#pragma once

#include <utility>
#include <vector>

#include "model/ops.hpp"

namespace autoround::model {

/// What no kernel covers goes to AtenOps. Differentiable: each op is one autograd Function. Weights of norms get no
/// gradient (they are frozen). Everything is queued on the current stream.
class DeviceOps : public AtenOps {
 public:
  /// @param deterministic the same inputs have the same gradients, bit for bit: attention is slower then
  explicit DeviceOps(bool deterministic = false) : deterministic_(deterministic) {}
  /// Whether such heads of sequences of `length` are attended without AtenOps.
  static bool fuses_attention(const AttentionSpec& spec, at::ScalarType type, std::int64_t length, bool deterministic);

  bool groups(const ExpertProjections& experts) const override { return stack_of(experts).defined(); }
  at::Tensor attention(const AttentionInput&) override;
  at::Tensor rms_norm(const at::Tensor&, const at::Tensor&, double) override;
  std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                                 double) override;
  at::Tensor gated_activation(const at::Tensor&, Activation) override;
  bool norms_heads(const AttentionSpec&, at::ScalarType heads, at::ScalarType weight) const override {
    return weight == heads;
  }
  /// Norms of what is kept anyway, or can itself be computed again, are.
  Recompute recompute_of(const at::Tensor&) override;
  void set_recompute(const at::Tensor&, Recompute) override;

 private:
  struct Recomputed {
    c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl> result;
    std::int64_t version;  // of its values: what was added to it since is not computed again
    Recompute recompute;
  };

  bool deterministic_;
  std::vector<Recomputed> recomputed_;  // of tensors that are still there
};

}  // namespace autoround::model
