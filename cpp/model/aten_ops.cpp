#include <ATen/ATen.h>

#include "base/error.hpp"
#include "model/blocked_attention.hpp"
#include "model/ops.hpp"

namespace autoround::model {
namespace {

at::Tensor normalize(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor variance = wide.square().mean(-1, /*keepdim=*/true);
  const at::Tensor normalized = wide * at::rsqrt(variance + eps);
  if (weight.scalar_type() == x.scalar_type()) return weight * normalized.to(x.scalar_type());
  return (weight * normalized).to(x.scalar_type());
}

/// x: [B, heads, S, D]; rotates pairs (i, i + rotary_dim / 2) of the leading part of each head.
at::Tensor rotate(const at::Tensor& x, const RopeTable& rope) {
  const std::int64_t length = x.size(2), half = rope.cos.size(1), rotated = 2 * half;
  const auto table = [&](const at::Tensor& t) { return t.narrow(0, 0, length).to(x.scalar_type()); };
  const at::Tensor cos = table(rope.cos), sin = table(rope.sin);
  const at::Tensor first = x.narrow(-1, 0, half), second = x.narrow(-1, half, half);
  std::vector<at::Tensor> parts{first * cos + second.neg() * sin, second * cos + first * sin};
  if (rotated < x.size(-1)) parts.push_back(x.narrow(-1, rotated, x.size(-1) - rotated));
  return at::cat(parts, -1);
}

/// `count` heads of the input from `first` on. [B, S, count, D]
at::Tensor heads_of(const AttentionInput& input, std::int64_t first, std::int64_t count) {
  const AttentionSpec& spec = *input.spec;
  const std::int64_t length = input.qkv.size(0) / input.batch;
  return input.qkv.view({input.batch, length, spec.heads + 2 * spec.kv_heads, spec.head_dim}).narrow(2, first, count);
}

/// Heads with norm and rope. [B, heads, S, D]
at::Tensor turned_heads(const AttentionInput& input, std::int64_t first, std::int64_t count, const at::Tensor& norm) {
  at::Tensor x = heads_of(input, first, count);
  if (norm.defined()) x = normalize(x, norm, input.norm_eps);
  x = x.transpose(1, 2);
  return input.rope ? rotate(x, *input.rope) : x;
}

}  // namespace

CachedHeads cached_heads(const AttentionInput& input) {
  const AttentionSpec& spec = *input.spec;
  return {turned_heads(input, spec.heads, spec.kv_heads, input.k_norm),
          heads_of(input, spec.heads + spec.kv_heads, spec.kv_heads).transpose(1, 2)};
}

at::Tensor AtenOps::linear(const Projection& projection, const at::Tensor& x) {
  return at::linear(x, projection.weight, projection.bias);
}

at::Tensor AtenOps::grouped_linear(const ExpertProjections& experts, const ExpertRows& rows, const at::Tensor& x) {
  return grouped_forward(x, stack_of(experts), rows.ends);
}

at::Tensor AtenOps::rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return normalize(x, weight, eps);
}

std::pair<at::Tensor, at::Tensor> AtenOps::add_rms_norm(const at::Tensor& x, const at::Tensor& delta,
                                                        const at::Tensor& weight, double eps) {
  const at::Tensor sum = x + delta;
  return {sum, normalize(sum, weight, eps)};
}

at::Tensor AtenOps::layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) {
  const at::Tensor normalized = at::layer_norm(x.to(at::kFloat), {x.size(-1)}, {}, {}, eps);
  at::Tensor y = weight.defined() ? normalized * weight : normalized;
  if (bias.defined()) y = y + bias;
  return y.to(x.scalar_type());
}

at::Tensor AtenOps::gated_activation(const at::Tensor& gate_up, Activation kind) {
  const std::int64_t width = gate_up.size(-1) / 2;
  const at::Tensor gate = gate_up.narrow(-1, 0, width), up = gate_up.narrow(-1, width, width);
  if (kind != Activation::clamped_swiglu) return activation(gate, kind) * up;
  const at::Tensor bounded = gate.clamp_max(7.0);
  return (up.clamp(-7.0, 7.0) + 1.0) * (bounded * at::sigmoid(bounded * 1.702));
}

at::Tensor AtenOps::activation(const at::Tensor& x, Activation kind) {
  switch (kind) {
    case Activation::silu:
      return at::silu(x);
    case Activation::gelu:
      return at::gelu(x);
    case Activation::gelu_tanh:
      return at::gelu(x, "tanh");
    case Activation::relu:
      return at::relu(x);
    case Activation::clamped_swiglu:
      break;  // has no form without a gate
  }
  fail(Code::internal, "activation", "an activation has no implementation");
}

at::Tensor AtenOps::attention(const AttentionInput& input) {
  const auto [k, v] = cached_heads(input);
  return blocked_attention(turned_heads(input, 0, input.spec->heads, input.q_norm), k, v, input.sinks, *input.spec);
}

}  // namespace autoround::model
