#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <numbers>

#include "model/causal_lm.hpp"
#include "support/catch.hpp"
#include "tiny_model.hpp"

namespace autoround::model {
namespace {

using test::random_tensor;

double max_difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

struct Shape {
  std::int64_t batch, length, heads, kv_heads, dim, window;
};

AttentionSpec attention_spec(const Shape& shape) {
  AttentionSpec spec;
  spec.heads = shape.heads;
  spec.kv_heads = shape.kv_heads;
  spec.head_dim = shape.dim;
  spec.scale = 0.37;
  spec.window = shape.window;
  return spec;
}

/// The same through LibTorch's own attention with repeated keys and an explicit mask.
at::Tensor reference_attention(const at::Tensor& qkv, const Shape& s) {
  const at::Tensor heads = qkv.view({s.batch, s.length, s.heads + 2 * s.kv_heads, s.dim}).transpose(1, 2);
  const std::int64_t group = s.heads / s.kv_heads;
  const at::Tensor k = heads.narrow(1, s.heads, s.kv_heads).repeat_interleave(group, 1);
  const at::Tensor v = heads.narrow(1, s.heads + s.kv_heads, s.kv_heads).repeat_interleave(group, 1);
  at::Tensor visible = at::ones({s.length, s.length}, at::kBool).tril();
  if (s.window > 0) visible = visible.triu(1 - s.window);
  const at::Tensor out = at::scaled_dot_product_attention(heads.narrow(1, 0, s.heads), k, v, visible, 0.0, false, 0.37);
  return out.transpose(1, 2).reshape({s.batch * s.length, s.heads * s.dim});
}

TEST_CASE("aten ops: attention and its gradient agree with LibTorch's, grouped, windowed and in blocks", "[model]") {
  const auto shape = GENERATE(Shape{2, 9, 4, 4, 6, 0}, Shape{1, 7, 6, 2, 4, 0}, Shape{2, 11, 3, 1, 8, 3},
                              Shape{1, 600, 2, 1, 4, 0}, Shape{1, 600, 2, 2, 4, 100}, Shape{1, 1, 2, 1, 4, 1});
  const AttentionSpec spec = attention_spec(shape);
  const std::int64_t width = (shape.heads + 2 * shape.kv_heads) * shape.dim;
  at::Tensor qkv = random_tensor({shape.batch * shape.length, width}, 1).requires_grad_(true);
  const at::Tensor weight = random_tensor({shape.batch * shape.length, shape.heads * shape.dim}, 2);

  AtenOps ops;
  const at::Tensor out = ops.attention({.qkv = qkv, .batch = shape.batch, .spec = &spec});
  const at::Tensor expected = reference_attention(qkv, shape);
  CHECK(max_difference(out, expected) < 1e-5);
  const at::Tensor gradient = torch::autograd::grad({(out * weight).sum()}, {qkv})[0];
  const at::Tensor expected_gradient = torch::autograd::grad({(expected * weight).sum()}, {qkv})[0];
  CHECK(max_difference(gradient, expected_gradient) < 1e-4);
}

/// All scores at once, each step in fp32.
at::Tensor whole_attention(const at::Tensor& qkv, const Shape& s, double softcap, const at::Tensor& sinks) {
  const at::Tensor heads = qkv.view({s.batch, s.length, s.heads + 2 * s.kv_heads, s.dim}).transpose(1, 2);
  const std::int64_t group = s.heads / s.kv_heads;
  const at::Tensor k = heads.narrow(1, s.heads, s.kv_heads).repeat_interleave(group, 1);
  const at::Tensor v = heads.narrow(1, s.heads + s.kv_heads, s.kv_heads).repeat_interleave(group, 1);
  at::Tensor scores = at::matmul(heads.narrow(1, 0, s.heads), k.transpose(-2, -1)) * 0.37;
  if (softcap > 0.0) scores = (scores / softcap).tanh() * softcap;
  scores = scores.masked_fill(at::ones({s.length, s.length}, at::kBool).triu(1), -INFINITY);
  if (sinks.defined()) {
    const at::Tensor each = sinks.view({1, s.heads, 1, 1}).expand({s.batch, s.heads, s.length, 1});
    scores = at::cat({scores, each}, -1);
  }
  const at::Tensor out = at::matmul(scores.softmax(-1).narrow(-1, 0, s.length), v);
  return out.transpose(1, 2).reshape({s.batch * s.length, s.heads * s.dim});
}

TEST_CASE("aten ops: attention with softcap and sinks, and its gradient, are those of all scores at once", "[model]") {
  const bool sinks = GENERATE(false, true);
  const double softcap = GENERATE(0.0, 0.5);
  const auto type = GENERATE(at::kFloat, at::kBFloat16);
  INFO(type << ", sinks " << sinks << ", softcap " << softcap);
  const Shape shape{2, 300, 4, 2, 8, 0};
  AttentionSpec spec = attention_spec(shape);
  spec.sinks = sinks;
  spec.softcap = softcap;
  const at::Tensor values = random_tensor({600, 64}, 1).to(type), weight = random_tensor({600, 32}, 2).to(type);
  const at::Tensor of_heads = sinks ? random_tensor({4}, 3) : at::Tensor();
  const at::Tensor qkv = values.clone().requires_grad_(true);
  const at::Tensor wide = values.to(at::kFloat).requires_grad_(true);

  AtenOps ops;
  const at::Tensor out = ops.attention({.qkv = qkv, .batch = 2, .spec = &spec, .sinks = of_heads});
  const at::Tensor expected = whole_attention(wide, shape, softcap, of_heads);
  const double close = type == at::kFloat ? 1e-5 : 2e-2;  // a few roundings to bf16, of sums of some ten
  CHECK(max_difference(out.to(at::kFloat), expected) < close);
  const at::Tensor gradient = torch::autograd::grad({out}, {qkv}, {weight})[0];
  const at::Tensor exact = torch::autograd::grad({expected}, {wide}, {weight.to(at::kFloat)})[0];
  CHECK(max_difference(gradient.to(at::kFloat), exact) < 3 * close);
}

TEST_CASE("aten ops: attention depends on the distance of tokens only, once rotated", "[model]") {
  const Shape shape{1, 6, 1, 1, 4, 0};
  const AttentionSpec spec = attention_spec(shape);
  RopeSpec rope;
  rope.rotary_dim = 4;
  const RopeTable near = make_rope_table(rope, 6), wide = make_rope_table(rope, 26);
  const RopeTable far{wide.cos.narrow(0, 20, 6), wide.sin.narrow(0, 20, 6)};
  const at::Tensor qkv = random_tensor({6, 12}, 3);
  AtenOps ops;
  const auto run = [&](const RopeTable* table) { return ops.attention({.qkv = qkv, .spec = &spec, .rope = table}); };
  CHECK(max_difference(run(&near), run(&far)) < 1e-5);
  CHECK(max_difference(run(&near), run(nullptr)) > 1e-3);
}

TEST_CASE("aten ops: only the leading rotary_dim elements of a head are rotated", "[model]") {
  const Shape shape{1, 5, 1, 1, 8, 0};
  const AttentionSpec spec = attention_spec(shape);
  RopeSpec rope;
  rope.rotary_dim = 4;
  const RopeTable table = make_rope_table(rope, 5);
  at::Tensor qkv = random_tensor({5, 24}, 4);
  AtenOps ops;
  const auto run = [&](const RopeTable* used) { return ops.attention({.qkv = qkv, .spec = &spec, .rope = used}); };
  qkv.narrow(1, 0, 4).zero_();  // the rotated part of q: rotation must not matter now
  CHECK(max_difference(run(&table), run(nullptr)) < 1e-6);
}

TEST_CASE("aten ops: q and k norms are RMSNorms over each head", "[model]") {
  const Shape shape{2, 5, 4, 2, 6, 0};
  const AttentionSpec spec = attention_spec(shape);
  const at::Tensor qkv = random_tensor({10, 48}, 5), q_norm = random_tensor({6}, 6), k_norm = random_tensor({6}, 7);
  AtenOps ops;
  at::Tensor normed = qkv.clone().view({10, 8, 6});
  normed.narrow(1, 0, 4).copy_(ops.rms_norm(normed.narrow(1, 0, 4), q_norm, 1e-3));
  normed.narrow(1, 4, 2).copy_(ops.rms_norm(normed.narrow(1, 4, 2), k_norm, 1e-3));
  const at::Tensor expected = ops.attention({.qkv = normed.view({10, 48}), .batch = 2, .spec = &spec});
  const at::Tensor out =
      ops.attention({.qkv = qkv, .batch = 2, .spec = &spec, .q_norm = q_norm, .k_norm = k_norm, .norm_eps = 1e-3});
  CHECK(max_difference(out, expected) < 1e-6);
}

TEST_CASE("aten ops: rms_norm rounds the normalised value before the weight, as transformers does", "[model]") {
  AtenOps ops;
  const at::Tensor x = random_tensor({3, 8}, 8), weight = random_tensor({8}, 9);
  const at::Tensor scale = x.to(at::kDouble).pow(2).mean(-1, true).add(1e-5).rsqrt();
  CHECK(max_difference(ops.rms_norm(x, weight, 1e-5), x * scale * weight) < 1e-5);

  const at::Tensor half = x.to(at::kBFloat16), half_weight = weight.to(at::kBFloat16);
  const at::Tensor wide = half.to(at::kFloat);
  const at::Tensor normalised = (wide * (wide.pow(2).mean(-1, true) + 1e-5).rsqrt()).to(at::kBFloat16);
  CHECK(at::equal(ops.rms_norm(half, half_weight, 1e-5), normalised * half_weight));
}

TEST_CASE("aten ops: a wide weight is met before rounding", "[model]") {
  AtenOps ops;
  const at::Tensor x = random_tensor({3, 8}, 8).to(at::kBFloat16), weight = random_tensor({8}, 9).add(1.0);
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor normalised = wide * (wide.pow(2).mean(-1, true) + 1e-5).rsqrt();
  CHECK(at::equal(ops.rms_norm(x, weight, 1e-5), (normalised * weight).to(at::kBFloat16)));
}

TEST_CASE("aten ops: layer_norm has weight and bias or neither, or a weight for each head", "[model]") {
  AtenOps ops;
  const at::Tensor x = random_tensor({5, 3, 8}, 8), weight = random_tensor({8}, 9), bias = random_tensor({8}, 10);
  const at::Tensor centred = x - x.mean(-1, true);
  const at::Tensor normalised = centred * (centred.pow(2).mean(-1, true) + 1e-3).rsqrt();
  CHECK(max_difference(ops.layer_norm(x, weight, bias, 1e-3), normalised * weight + bias) < 1e-5);
  CHECK(max_difference(ops.layer_norm(x, {}, {}, 1e-3), normalised) < 1e-5);
  const at::Tensor by_head = random_tensor({3, 8}, 11);
  CHECK(max_difference(ops.layer_norm(x, by_head, {}, 1e-3), normalised * by_head) < 1e-5);
}

TEST_CASE("aten ops: a soft limit bends the scores before the mask", "[model]") {
  const Shape shape{1, 6, 2, 1, 4, 3};
  AttentionSpec spec = attention_spec(shape);
  const at::Tensor qkv = random_tensor({6, 16}, 3) * 2.0;
  AtenOps ops;
  const at::Tensor unlimited = ops.attention({.qkv = qkv, .spec = &spec});
  spec.softcap = 1e5;
  CHECK(max_difference(ops.attention({.qkv = qkv, .spec = &spec}), unlimited) < 1e-4);
  spec.softcap = 1e-6;  // all scores are alike: the mean of the values that are visible
  const at::Tensor out = ops.attention({.qkv = qkv, .spec = &spec});
  CHECK(max_difference(out[5].narrow(0, 0, 4), qkv.narrow(0, 3, 3).narrow(1, 12, 4).mean(0)) < 1e-5);
}

TEST_CASE("aten ops: add_rms_norm gives the sum and its norm", "[model]") {
  AtenOps ops;
  const at::Tensor x = random_tensor({3, 8}, 10), delta = random_tensor({3, 8}, 11), weight = random_tensor({8}, 12);
  const auto [sum, normed] = ops.add_rms_norm(x, delta, weight, 1e-5);
  CHECK(at::equal(sum, x + delta));
  CHECK(at::equal(normed, ops.rms_norm(x + delta, weight, 1e-5)));
}

TEST_CASE("aten ops: the first half of gate_up goes through the activation", "[model]") {
  AtenOps ops;
  const at::Tensor gate_up = random_tensor({3, 10}, 13);
  const at::Tensor gate = gate_up.narrow(1, 0, 5), up = gate_up.narrow(1, 5, 5);
  CHECK(max_difference(ops.gated_activation(gate_up, Activation::silu), gate * gate.sigmoid() * up) < 1e-6);
  const at::Tensor normal_cdf = (gate / std::sqrt(2.0)).erf().add(1.0).div(2.0);
  CHECK(max_difference(ops.gated_activation(gate_up, Activation::gelu), gate * normal_cdf * up) < 1e-6);
  CHECK(max_difference(ops.gated_activation(gate_up, Activation::relu), gate.clamp_min(0.0) * up) < 1e-6);
  const at::Tensor inner = (gate + 0.044715 * gate.pow(3)) * std::sqrt(2.0 / std::numbers::pi);
  const at::Tensor tanh_gelu = 0.5 * gate * (inner.tanh() + 1.0);
  CHECK(max_difference(ops.gated_activation(gate_up, Activation::gelu_tanh), tanh_gelu * up) < 1e-6);
}

}  // namespace
}  // namespace autoround::model
