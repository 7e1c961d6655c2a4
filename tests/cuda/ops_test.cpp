// DeviceOps on a GPU against AtenOps on the CPU in double precision.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <vector>

#include "gpu.hpp"
#include "model/device_ops.hpp"
#include "ops_cases.hpp"
#include "support/catch.hpp"

namespace autoround::model {
namespace {

/// Of a norm's weight: that of x or a wider one.
at::ScalarType weight_type(at::ScalarType type) { return GENERATE(true, false) ? type : at::kFloat; }

/// Where and as what an operation gets its tensors.
struct Place {
  bool gpu = false;
  at::Tensor operator()(const at::Tensor& x) const {
    if (!x.defined()) return x;
    return gpu ? x.to(autoround::gpu) : x.to(at::kDouble);
  }
};

/// What body(ops, place, leaves) returns, then its gradient for each leaf. A result whose gradient is undefined has
/// none.
template <typename Body>
Tensors outcome(Ops& ops, Place place, const Tensors& inputs, const Tensors& grads, Body body) {
  Tensors leaves, differentiated, placed;
  for (const at::Tensor& input : inputs) leaves.push_back(place(input).detach().clone().requires_grad_(true));
  Tensors all = body(ops, place, leaves);
  for (std::size_t i = 0; i < grads.size(); ++i) {
    if (!grads[i].defined()) continue;
    differentiated.push_back(all[i]);
    placed.push_back(place(grads[i]));
  }
  for (const at::Tensor& grad : torch::autograd::grad(differentiated, leaves, placed)) all.push_back(grad);
  return all;
}

/// Both processors come to the same results, and to the same gradients.
template <typename Body>
void check_alike(const Tensors& inputs, const Tensors& grads, double of_results, double of_gradients, Body body,
                 bool deterministic = false) {
  DeviceOps fast(deterministic);
  AtenOps plain;
  const Tensors got = outcome(fast, Place{true}, inputs, grads, body);
  const Tensors wanted = outcome(plain, Place{false}, inputs, grads, body);
  REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i].is_cuda());
    CHECK(got[i].scalar_type() == inputs[0].scalar_type());
    REQUIRE(got[i].sizes() == wanted[i].sizes());
    CHECK(reference::relative_error(got[i].cpu(), wanted[i].detach()) < (i < grads.size() ? of_results : of_gradients));
  }
}

}  // namespace

TEST_CASE("CUDA rms_norm: output and gradient are those of the CPU", "[rows]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const auto type = any_type();
  const std::int64_t width = GENERATE(3, 37, 64, 576, 4096, 4100, 16384, 16392);
  const at::Tensor weight = random_weight(width, weight_type(type), 2);
  CAPTURE(type, width, weight.scalar_type());
  const at::Tensor x = reference::random({50, width}, type, 1);
  // A gradient whose rows are not contiguous.
  const at::Tensor grad = reference::random({width, 50}, type, 3).t();
  check_alike({x}, {grad}, tolerance(type), tolerance(type), [&](Ops& ops, Place place, const Tensors& leaves) {
    return Tensors{ops.rms_norm(leaves[0], place(weight), kEps)};
  });
}

TEST_CASE("CUDA add_rms_norm: both results, and the gradient through either or both", "[rows]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const auto type = any_type();
  const std::int64_t width = GENERATE(3, 37, 576, 4100, 8192, 16392);
  const at::Tensor weight = random_weight(width, weight_type(type), 3);
  CAPTURE(type, width, weight.scalar_type());
  const at::Tensor x = reference::random({40, width}, type, 1), delta = reference::random({40, width}, type, 2);
  const at::Tensor grad_h = reference::random({40, width}, type, 4), grad_y = reference::random({40, width}, type, 5);
  const auto body = [&](Ops& ops, Place place, const Tensors& leaves) {
    const auto [h, y] = ops.add_rms_norm(leaves[0], leaves[1], place(weight), kEps);
    return Tensors{h, y};
  };
  for (const Tensors& grads : {Tensors{grad_h, {}}, Tensors{{}, grad_y}, Tensors{grad_h, grad_y}}) {
    check_alike({x, delta}, grads, tolerance(type), tolerance(type), body);
  }
  DeviceOps ops;
  CHECK(at::equal(ops.add_rms_norm(x.to(gpu), delta.to(gpu), weight.to(gpu), kEps).first.cpu(), x + delta));
}

TEST_CASE("CUDA gated activation: output and gradient are those of the CPU", "[rows]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const auto type = any_type();
  const auto activation =
      GENERATE(Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::relu, Activation::clamped_swiglu);
  const std::int64_t width = GENERATE(1, 3, 37, 576, 2052, 4096);
  CAPTURE(type, static_cast<int>(activation), width);
  // Wide enough that some are beyond the bounds of clamped_swiglu.
  const at::Tensor x = (4.0 * reference::random({50, 2 * width}, at::kFloat, 1)).to(type);
  check_alike(
      {x}, {reference::random({50, width}, type, 3)}, tolerance(type), tolerance(type),
      [&](Ops& ops, Place, const Tensors& leaves) { return Tensors{ops.gated_activation(leaves[0], activation)}; });
}

TEST_CASE("CUDA row ops: any alignment, no rows, strided rows, types without a kernel", "[rows]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  DeviceOps ops;
  const at::Tensor weight = at::ones({64}, at::kBFloat16).to(gpu);
  const at::Tensor memory = reference::random({20 * 64 + 1}, at::kBFloat16, 1).to(gpu);
  const at::Tensor shifted = memory.narrow(0, 1, 20 * 64).view({20, 64}), x = shifted.clone();
  CHECK(reference::relative_error(ops.rms_norm(shifted, weight, kEps).cpu(), ops.rms_norm(x, weight, kEps).cpu()) <
        2e-3);
  CHECK(at::equal(ops.gated_activation(shifted, Activation::silu), ops.gated_activation(x, Activation::silu)));
  const at::Tensor strided = x.t().contiguous().t();
  CHECK(at::equal(ops.rms_norm(strided, weight, kEps), ops.rms_norm(x, weight, kEps)));
  CHECK(ops.rms_norm(x.narrow(0, 0, 0), weight, kEps).sizes() == at::IntArrayRef({0, 64}));
  CHECK(ops.gated_activation(x.narrow(0, 0, 0), Activation::silu).sizes() == at::IntArrayRef({0, 32}));
  const at::Tensor wide = x.to(at::kDouble), wide_weight = weight.to(at::kDouble);
  CHECK(ops.rms_norm(wide, wide_weight, kEps).scalar_type() == at::kDouble);
  CHECK(ops.gated_activation(wide, Activation::relu).scalar_type() == at::kDouble);
  CHECK_FALSE(ops.rms_norm(x, weight, kEps).requires_grad());
}

namespace {

struct AttentionCase {
  const char* what;
  std::int64_t sequence, batch, heads, kv_heads, head_dim, rotary_dim, window;
  bool qk_norm = false;
  double softcap = 0.0;
  bool sinks = false;
};

}  // namespace

TEST_CASE("CUDA attention: output and gradient are those of the CPU", "[attention]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const auto type = any_type();
  const AttentionCase c = GENERATE(values<AttentionCase>({
      {"one token", 1, 3, 4, 4, 64, 64, 0},
      {"few tokens", 7, 2, 3, 1, 64, 64, 0},
      {"SmolLM2", 200, 2, 9, 3, 64, 64, 0},
      {"no rope", 100, 2, 3, 3, 64, 0, 0},
      {"half of each head rotated", 100, 1, 4, 2, 80, 40, 0},
      {"head dimension 128 with norms (Qwen3)", 130, 2, 4, 2, 128, 128, 0, true},
      {"norms without rope", 65, 1, 2, 1, 96, 0, 0, true},
      {"head dimension 256", 90, 2, 2, 1, 256, 64, 0},
      {"a head dimension without an alignment", 40, 1, 2, 1, 6, 6, 0},
      {"window", 150, 2, 4, 2, 64, 64, 20},
      {"window of one", 70, 1, 2, 2, 64, 64, 1},
      {"window with norms", 256, 2, 4, 1, 128, 128, 100, true},
      {"window longer than the sequence", 100, 1, 2, 1, 64, 64, 4096},
      {"scores with a soft limit (Gemma 2)", 80, 2, 4, 2, 64, 64, 0, false, 1.5},
      {"sinks in a window (gpt-oss)", 90, 2, 4, 2, 64, 64, 30, false, 0.0, true},
  }));
  const bool deterministic = GENERATE(false, true);
  CAPTURE(type, c.what, deterministic);
  AttentionSpec spec;
  spec.heads = c.heads;
  spec.kv_heads = c.kv_heads;
  spec.head_dim = c.head_dim;
  spec.window = c.window;
  spec.softcap = c.softcap;
  spec.sinks = c.sinks;
  spec.scale = 1.0 / std::sqrt(static_cast<double>(c.head_dim));
  const std::int64_t rows = c.batch * c.sequence;
  const at::Tensor qkv = reference::random({rows, (c.heads + 2 * c.kv_heads) * c.head_dim}, type, 1);
  const at::Tensor grad = reference::random({rows, c.heads * c.head_dim}, type, 2);
  const at::Tensor q_norm = random_weight(c.head_dim, type, 3), k_norm = random_weight(c.head_dim, type, 4);
  const at::Tensor sinks = reference::random({c.heads}, type, 5);
  // One position more than there are tokens: tables are made for the longest sequence.
  RopeTable rope;
  if (c.rotary_dim > 0) rope = reference::rope_table(c.sequence + 1, c.rotary_dim);
  const double of_gradients = type == at::kFloat ? 2e-5 : 2e-2;
  check_alike(
      {qkv}, {grad}, type == at::kFloat ? 2e-5 : 1e-2, of_gradients,
      [&](Ops& ops, Place place, const Tensors& leaves) {
        const RopeTable table = {place(rope.cos), place(rope.sin)};
        AttentionInput input{.qkv = leaves[0], .batch = c.batch, .spec = &spec};
        if (c.rotary_dim > 0) input.rope = &table;
        if (c.qk_norm) input.q_norm = place(q_norm), input.k_norm = place(k_norm);
        if (c.sinks) input.sinks = place(sinks);
        input.norm_eps = kEps;
        return Tensors{ops.attention(input)};
      },
      deterministic);
}

}  // namespace autoround::model
