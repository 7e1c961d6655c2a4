#include "model/latent_attention.hpp"

#include <ATen/ATen.h>

namespace autoround::model {
namespace {

/// Neighbours that are rotated together become elements half of the width apart. x: [T, heads, width]
at::Tensor apart(const at::Tensor& x) {
  return x.reshape({x.size(0), x.size(1), x.size(2) / 2, 2}).transpose(-2, -1).reshape(x.sizes());
}

at::Tensor filled(const at::Tensor& x, std::int64_t width) {
  return x.size(-1) == width ? x : at::constant_pad_nd(x, {0, width - x.size(-1)});
}

}  // namespace

std::unique_ptr<LatentAttention> LatentAttention::load(const AttentionSpec& spec, const std::string& attention,
                                                       std::int64_t hidden, const WeightSource& weights,
                                                       at::ScalarType dtype) {
  auto result = std::make_unique<LatentAttention>();
  result->spec_ = spec;
  const LatentSpec& latent = *spec.latent;
  const auto norm = [&](const char* name, std::int64_t size) {
    at::Tensor weight = weights.memory({size}, dtype);
    weights.load_into(attention + name, weight);
    return weight;
  };
  const std::int64_t query = spec.heads * spec.key_dim();
  std::vector<Projection::Part> parts;
  if (latent.q_rank > 0) {
    parts.push_back({.name = attention + "q_a_proj", .rows = latent.q_rank});
    result->q_norm_ = norm("q_a_layernorm.weight", latent.q_rank);
    result->queries_ =
        load_projection(weights, {{.name = attention + "q_b_proj", .rows = query}}, latent.q_rank, false, dtype);
  } else {
    result->queries_ = load_projection(weights, {{.name = attention + "q_proj", .rows = query}}, hidden, false, dtype);
  }
  parts.push_back({.name = attention + "kv_a_proj_with_mqa", .rows = latent.kv_rank + latent.rope_dim});
  result->latents_ = load_projection(weights, std::move(parts), hidden, latent.bias, dtype);
  result->kv_norm_ = norm("kv_a_layernorm.weight", latent.kv_rank);
  result->pairs_ = load_projection(
      weights, {{.name = attention + "kv_b_proj", .rows = spec.heads * (latent.nope_dim + latent.value_dim)}},
      latent.kv_rank, false, dtype);
  return result;
}

std::vector<Projection*> LatentAttention::projections() { return {&latents_, &queries_, &pairs_}; }

at::Tensor LatentAttention::qkv(const at::Tensor& x, Ops& ops) const {
  const LatentSpec& latent = *spec_.latent;
  const std::int64_t tokens = x.size(0), heads = spec_.heads, width = spec_.head_dim;
  const at::Tensor latents = ops.linear(latents_, x);
  const auto normed = [&](std::int64_t first, std::int64_t size, const at::Tensor& weight) {
    return ops.rms_norm(latents.narrow(1, first, size), weight, latent.norm_eps);
  };
  const at::Tensor q = ops.linear(queries_, latent.q_rank > 0 ? normed(0, latent.q_rank, q_norm_) : x)
                           .view({tokens, heads, latent.nope_dim + latent.rope_dim});
  const at::Tensor kv = ops.linear(pairs_, normed(latent.q_rank, latent.kv_rank, kv_norm_))
                            .view({tokens, heads, latent.nope_dim + latent.value_dim});
  const at::Tensor shared = latents.narrow(1, latent.q_rank + latent.kv_rank, latent.rope_dim).unsqueeze(1);

  const auto head = [&](const at::Tensor& rotated, const at::Tensor& others) {
    return filled(at::cat({latent.interleaved ? apart(rotated) : rotated, others}, -1), width);
  };
  const at::Tensor queries = head(q.narrow(2, latent.nope_dim, latent.rope_dim), q.narrow(2, 0, latent.nope_dim));
  const at::Tensor keys = head(shared.expand({tokens, heads, latent.rope_dim}), kv.narrow(2, 0, latent.nope_dim));
  const at::Tensor values = filled(kv.narrow(2, latent.nope_dim, latent.value_dim), width);
  return at::cat({queries, keys, values}, 1).view({tokens, 3 * heads * width});
}

at::Tensor LatentAttention::values(const at::Tensor& outputs) const {
  const std::int64_t tokens = outputs.size(0), width = spec_.latent->value_dim;
  return outputs.view({tokens, spec_.heads, spec_.head_dim}).narrow(2, 0, width).reshape({tokens, spec_.heads * width});
}

}  // namespace autoround::model
