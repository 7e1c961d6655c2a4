// The fused ops written down in double precision, and how near to them bf16 results have to be.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <limits>

#include "model/ops.hpp"

namespace autoround::model::reference {

inline at::Tensor random(at::IntArrayRef sizes, at::ScalarType type, std::uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return at::randn(sizes, generator, at::TensorOptions(at::kFloat)).to(type);
}

inline at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return x * at::rsqrt(x.square().mean(-1, true) + eps) * weight;
}

/// Angles of the usual kind for positions 0..S-1.
inline RopeTable rope_table(std::int64_t sequence, std::int64_t rotary_dim) {
  const auto type = at::TensorOptions(at::kDouble);
  const at::Tensor frequency = at::pow(10000.0, -at::arange(0, rotary_dim, 2, type) / rotary_dim);
  const at::Tensor angle = at::outer(at::arange(sequence, type), frequency);
  return {angle.cos().to(at::kFloat), angle.sin().to(at::kFloat)};
}

/// x: [B, heads, S, D] double.
inline at::Tensor rotate(const at::Tensor& x, const RopeTable& rope) {
  const std::int64_t half = rope.cos.size(1);
  const auto table = [&](const at::Tensor& t) { return t.narrow(0, 0, x.size(2)).to(at::kDouble); };
  const at::Tensor cos = table(rope.cos), sin = table(rope.sin);
  const at::Tensor first = x.narrow(-1, 0, half), second = x.narrow(-1, half, half);
  const at::Tensor rest = x.narrow(-1, 2 * half, x.size(-1) - 2 * half);
  return at::cat({first * cos - second * sin, second * cos + first * sin, rest}, -1);
}

/// Attention of `input`, whose tensors are double here.
inline at::Tensor attention(const AttentionInput& input) {
  const AttentionSpec& spec = *input.spec;
  const std::int64_t sequence = input.qkv.size(0) / input.batch, group = spec.heads / spec.kv_heads;
  const at::Tensor rows =
      input.qkv.view({input.batch, sequence, spec.heads + 2 * spec.kv_heads, spec.head_dim}).transpose(1, 2);
  at::Tensor q = rows.narrow(1, 0, spec.heads), k = rows.narrow(1, spec.heads, spec.kv_heads),
             v = rows.narrow(1, spec.heads + spec.kv_heads, spec.kv_heads);
  if (input.q_norm.defined()) {
    q = rms_norm(q, input.q_norm, input.norm_eps);
    k = rms_norm(k, input.k_norm, input.norm_eps);
  }
  if (input.rope != nullptr) {
    q = rotate(q, *input.rope);
    k = rotate(k, *input.rope);
  }
  k = k.repeat_interleave(group, 1);
  v = v.repeat_interleave(group, 1);
  const at::Tensor position = at::arange(sequence), distance = position.unsqueeze(1) - position.unsqueeze(0);
  at::Tensor hidden = distance < 0;
  if (spec.window > 0) hidden = hidden.logical_or(distance >= spec.window);
  at::Tensor scores = at::matmul(q, k.transpose(-2, -1)) * spec.scale;
  if (spec.softcap > 0.0) scores = (scores / spec.softcap).tanh() * spec.softcap;
  scores = scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  if (spec.sinks) {  // one more score of each query, of no key
    const at::Tensor each = input.sinks.to(at::kDouble).view({1, spec.heads, 1, 1});
    scores = at::cat({scores, each.expand({input.batch, spec.heads, sequence, 1})}, -1);
  }
  const at::Tensor weights = scores.softmax(-1).narrow(-1, 0, sequence);
  return at::matmul(weights, v).transpose(1, 2).reshape({input.batch * sequence, spec.heads * spec.head_dim});
}

inline at::Tensor activation(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::silu:
      return at::silu(x);
    case Activation::gelu:
      return at::gelu(x);
    case Activation::gelu_tanh:
      return at::gelu(x, "tanh");
    case Activation::relu:
      return at::relu(x);
    case Activation::clamped_swiglu:
      break;  // no kernel computes it
  }
  return {};
}

inline at::Tensor gated(const at::Tensor& gate_up, Activation kind) {
  const std::int64_t width = gate_up.size(-1) / 2;
  return activation(gate_up.narrow(-1, 0, width), kind) * gate_up.narrow(-1, width, width);
}

/// A leaf of `type` with the values of x.
inline at::Tensor leaf(const at::Tensor& x, at::ScalarType type) {
  return x.detach().to(type).clone().requires_grad_(true);
}

/// Root mean square of the difference over that of the expected values; infinite when the result is not finite.
inline double relative_error(const at::Tensor& got, const at::Tensor& wanted) {
  const at::Tensor difference = got.to(at::kDouble) - wanted.to(at::kDouble);
  const double error = difference.norm().item<double>();
  const double size = wanted.to(at::kDouble).norm().item<double>();
  if (!(error < std::numeric_limits<double>::infinity())) return std::numeric_limits<double>::infinity();
  return size == 0.0 ? error : error / size;
}

/// Largest difference of one element, in units of the root mean square of the expected values.
inline double worst_element(const at::Tensor& got, const at::Tensor& wanted) {
  const at::Tensor wide = wanted.to(at::kDouble);
  const double rms = wide.square().mean().sqrt().item<double>();
  const double worst = (got.to(at::kDouble) - wide).abs().max().item<double>();
  return rms == 0.0 ? worst : worst / rms;
}

}  // namespace autoround::model::reference
