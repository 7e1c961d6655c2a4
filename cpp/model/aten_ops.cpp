#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "base/error.hpp"
#include "model/ops.hpp"

namespace autoround::model {
namespace {

/// Queries handled at once: bounds the score matrix to [B, heads, 256, S] and skips the keys that no query of it sees.
constexpr std::int64_t query_block = 256;

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

/// True where query `first_query + i` must not see key `first_key + j`. [queries, keys]
at::Tensor hidden_keys(std::int64_t first_query, std::int64_t queries, std::int64_t first_key, std::int64_t keys,
                       std::int64_t window, at::Device device) {
  const at::Tensor query = at::arange(first_query, first_query + queries, device).unsqueeze(1);
  const at::Tensor key = at::arange(first_key, first_key + keys, device).unsqueeze(0);
  const at::Tensor future = key > query;
  return window > 0 ? future.logical_or(key <= query - window) : future;
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

// Scores and softmax in fp32, probabilities rounded to the compute dtype before they meet V: the roundings of the
// attention kernel that transformers runs by default. Written out, because that kernel is slow in bf16 on a CPU.
at::Tensor AtenOps::attention(const AttentionInput& input) {
  const AttentionSpec& spec = *input.spec;
  const std::int64_t batch = input.batch, length = input.qkv.size(0) / batch, dim = spec.head_dim;
  const at::Tensor q = turned_heads(input, 0, spec.heads, input.q_norm);
  const auto [k, v] = cached_heads(input);

  // Query heads of a group share a key head by broadcasting, without repeating it. [B, kv_heads, group, S, D]
  const std::int64_t group = spec.heads / spec.kv_heads;
  const at::Tensor grouped = q.reshape({batch, spec.kv_heads, group, length, dim}).to(at::kFloat);
  const at::Tensor keys_t = k.to(at::kFloat).transpose(-2, -1).unsqueeze(2), values = v.unsqueeze(2);
  std::vector<at::Tensor> blocks;
  for (std::int64_t begin = 0; begin < length; begin += query_block) {
    const std::int64_t queries = std::min(query_block, length - begin), end = begin + queries;
    const std::int64_t first_key = spec.window > 0 ? std::max<std::int64_t>(0, begin - spec.window + 1) : 0;
    const std::int64_t keys = end - first_key;
    at::Tensor scores = at::matmul(grouped.narrow(3, begin, queries), keys_t.narrow(-1, first_key, keys)) * spec.scale;
    if (spec.softcap > 0.0) scores = (scores / spec.softcap).tanh() * spec.softcap;
    scores = scores.masked_fill(hidden_keys(begin, queries, first_key, keys, spec.window, scores.device()),
                                -std::numeric_limits<double>::infinity());
    if (spec.sinks) {
      const at::Tensor sinks = input.sinks.to(at::kFloat).view({1, spec.kv_heads, group, 1, 1});
      scores = at::cat({scores, sinks.expand({batch, spec.kv_heads, group, queries, 1})}, -1);
    }
    const at::Tensor probabilities = scores.softmax(-1).narrow(-1, 0, keys).to(input.qkv.scalar_type());
    blocks.push_back(at::matmul(probabilities, values.narrow(3, first_key, keys)));
  }
  const at::Tensor output = blocks.size() == 1 ? blocks.front() : at::cat(blocks, 3);
  return output.view({batch, spec.heads, length, dim}).transpose(1, 2).reshape({batch * length, spec.heads * dim});
}

}  // namespace autoround::model
