// The operations a decoder layer is made of, behind one interface, so that the forward code exists once while the
// arithmetic is chosen by who runs it: plain LibTorch operations (AtenOps, the reference), fused kernels (FusedOps), or
// the tuner's own, which replaces `linear` by a quantizing one. All tensors are [T, width], T = batch * sequence
// tokens, sample-major; compute dtype bf16 or fp32; results differ between implementations only in rounding.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <utility>

#include "model/buffer_pool.hpp"
#include "model/grouped_products.hpp"
#include "model/linear_products.hpp"
#include "model/projection.hpp"
#include "model/spec.hpp"

namespace autoround::model {

namespace kernels {
struct AttentionKernels;
}

/// Rotation tables for positions 0..S-1: fp32 [S, rotary_dim / 2], attention factor multiplied in.
struct RopeTable {
  at::Tensor cos, sin;
};

struct AttentionInput {
  at::Tensor qkv;  // [B*S, (heads + 2*kv_heads) * head_dim], before norm and rope
  std::int64_t batch = 1;
  const AttentionSpec* spec = nullptr;
  const RopeTable* rope = nullptr;  // null: no rope on this layer
  at::Tensor q_norm, k_norm;        // [head_dim]: RMSNorm of each head before rope; undefined: none here
  double norm_eps = 1e-6;
  at::Tensor sinks;  // [heads] when spec->sinks
};

/// What a layer puts into the cache: keys after norm and rope, and values. [B, kv_heads, S, head_dim] each, the
/// elements of a key maybe in another order than transformers has them.
struct CachedHeads {
  at::Tensor keys, values;
};
CachedHeads cached_heads(const AttentionInput& input);

/// Computes a tensor once more: the same bits, in memory of its own.
using Recompute = std::function<at::Tensor()>;

class Ops {
 public:
  virtual ~Ops() = default;
  virtual at::Tensor linear(const Projection& projection, const at::Tensor& x) = 0;
  /// Whether the linears of these experts are better asked for at once than one by one.
  virtual bool groups(const ExpertProjections& /*experts*/) const { return false; }
  /// The linears of all experts, which have a stack_of(), of x [R, in] with rows in their order. -> [R, out]
  virtual at::Tensor grouped_linear(const ExpertProjections& experts, const ExpertRows& rows, const at::Tensor& x) = 0;
  /// Causal attention (padding is on the right, so it needs no mask). -> [B*S, heads * head_dim]
  virtual at::Tensor attention(const AttentionInput& input) = 0;
  /// With a weight of x's dtype the normalized value is rounded before the weight; with a wider one, after it.
  virtual at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) = 0;
  /// h = x + delta, y = rms_norm(h). Returns {h, y}.
  virtual std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& x, const at::Tensor& delta,
                                                         const at::Tensor& weight, double eps) = 0;
  /// Weight and bias may be undefined; a weight of [heads, width] is of an x of [T, heads, width]. Rounded once.
  virtual at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) = 0;
  /// act(gate) * up of [T, 2*I] = gate | up. -> [T, I]
  virtual at::Tensor gated_activation(const at::Tensor& gate_up, Activation activation) = 0;
  virtual at::Tensor activation(const at::Tensor& x, Activation activation) = 0;
  /// Where what this pass computes may be put; null: into memory of LibTorch's.
  virtual c10::intrusive_ptr<BufferPool> memory() const { return {}; }
  /// Whether attention() should be given q_norm and k_norm of such a type, rather than heads that are normed already.
  virtual bool norms_heads(const AttentionSpec& /*spec*/, at::ScalarType /*heads*/, at::ScalarType /*weight*/) const {
    return true;
  }
  /// Told the experts that each token goes to, int64 [T, top_k], each below `count`, before they compute. `layer` is
  /// one and the same for the experts of one layer.
  virtual void routed(const void* /*layer*/, const at::Tensor& /*experts*/, std::int64_t /*count*/) {}
  /// How a backward pass that looks at x again may compute it instead of keeping it, where that is cheap and memory is
  /// short; null: it is to be kept. Everything that it works with outlives the backward pass.
  virtual Recompute recompute_of(const at::Tensor& /*x*/) { return {}; }
  /// Told how x, which was made elsewhere, can be computed again: with the values that it has now, and no longer when it
  /// is written to.
  virtual void set_recompute(const at::Tensor& /*x*/, Recompute /*recompute*/) {}
  /// Told when all samples have gone through without gradients: what was kept from one part of them to the next goes.
  virtual void end_pass() {}
};

/// Plain LibTorch operations in the order and with the roundings of the transformers code. Differentiable.
class AtenOps : public Ops {
 public:
  at::Tensor linear(const Projection&, const at::Tensor&) override;
  at::Tensor grouped_linear(const ExpertProjections&, const ExpertRows&, const at::Tensor&) override;
  at::Tensor attention(const AttentionInput&) override;
  at::Tensor rms_norm(const at::Tensor&, const at::Tensor&, double) override;
  std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                                 double) override;
  at::Tensor layer_norm(const at::Tensor&, const at::Tensor&, const at::Tensor&, double) override;
  at::Tensor gated_activation(const at::Tensor&, Activation) override;
  at::Tensor activation(const at::Tensor&, Activation) override;
};

/// The fused kernels (model/kernels), picked for this CPU at run time; what no kernel covers goes to AtenOps.
/// Differentiable: each op is one autograd Function. Weights of norms get no gradient (they are frozen). Where
/// gradients are recorded, results live in a pool, which keeps the memory of one iteration for the next until this
/// object and all graphs are gone; elsewhere in one that ends with the pass. Not thread-safe.
class FusedOps : public AtenOps {
 public:
  /// Those of this CPU for heads of such a type; null: there are none.
  static const kernels::AttentionKernels* attention_kernels(at::ScalarType type);
  /// Whether a kernel of this CPU attends such heads in such a type; AtenOps attends others.
  static bool fuses_attention(const AttentionSpec& spec, at::ScalarType type);

  at::Tensor linear(const Projection&, const at::Tensor&) override;
  at::Tensor attention(const AttentionInput&) override;
  at::Tensor rms_norm(const at::Tensor&, const at::Tensor&, double) override;
  std::pair<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                                 double) override;
  at::Tensor layer_norm(const at::Tensor&, const at::Tensor&, const at::Tensor&, double) override;
  at::Tensor activation(const at::Tensor&, Activation) override;
  at::Tensor gated_activation(const at::Tensor&, Activation) override;
  c10::intrusive_ptr<BufferPool> memory() const override { return pool(); }
  bool norms_heads(const AttentionSpec& spec, at::ScalarType heads, at::ScalarType /*weight*/) const override {
    return fuses_attention(spec, heads);
  }
  void end_pass() override { pass_ = c10::make_intrusive<BufferPool>(); }

 private:
  const c10::intrusive_ptr<BufferPool>& pool() const;

  LinearProducts products_{/*fused=*/true};
  c10::intrusive_ptr<BufferPool> pool_ = c10::make_intrusive<BufferPool>(), pass_ = c10::make_intrusive<BufferPool>();
};

struct Arithmetic {
  bool fused = true;           // what the device computes fastest with, or plain LibTorch operations
  bool deterministic = false;  // the same gradients each time, where a device has faster ones that are not
};
std::unique_ptr<Ops> make_ops(at::Device device, Arithmetic arithmetic);

}  // namespace autoround::model
