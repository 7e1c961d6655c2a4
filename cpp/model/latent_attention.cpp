#include "model/latent_attention.hpp"

#include <ATen/ATen.h>

#include "model/arrange.hpp"

namespace autoround::model {
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
  const std::vector<at::Tensor> latents =
      ops.linear(latents_, x).split_with_sizes({latent.q_rank, latent.kv_rank, latent.rope_dim}, 1);
  const at::Tensor q = ops.linear(queries_, latent.q_rank > 0 ? ops.rms_norm(latents[0], q_norm_, latent.norm_eps) : x);
  const at::Tensor kv = ops.linear(pairs_, ops.rms_norm(latents[1], kv_norm_, latent.norm_eps));

  // Neighbours that are rotated together become elements half of the width apart. [T, heads, 2, width / 2]
  const auto pairs_of = [=](const at::Tensor& part) { return part.unflatten(2, {2, latent.rope_dim / 2}); };
  const auto rotated_of = [=](const at::Tensor& part) {
    return latent.interleaved ? part.unflatten(2, {latent.rope_dim / 2, 2}).transpose(2, 3) : pairs_of(part);
  };
  const auto heads_of = [=](const std::vector<at::Tensor>& inputs, const at::Tensor& output) {
    const at::Tensor queries = inputs[0].view({tokens, heads, -1}), others = inputs[1].view({tokens, heads, -1}),
                     rotated = inputs[2].unsqueeze(1).expand({tokens, heads, latent.rope_dim});
    const at::Tensor places = output.view({tokens, 3, heads, width});
    const at::Tensor query = places.select(1, 0), key = places.select(1, 1), value = places.select(1, 2);
    const auto first = [&](const at::Tensor& head) { return pairs_of(head.narrow(2, 0, latent.rope_dim)); };
    const auto rest = [&](const at::Tensor& head) { return head.narrow(2, latent.rope_dim, latent.nope_dim); };
    return Places{{rotated_of(queries.narrow(2, latent.nope_dim, latent.rope_dim)), first(query)},
                  {queries.narrow(2, 0, latent.nope_dim), rest(query)},
                  {rotated_of(rotated), first(key)},
                  {others.narrow(2, 0, latent.nope_dim), rest(key)},
                  {others.narrow(2, latent.nope_dim, latent.value_dim), value.narrow(2, 0, latent.value_dim)}};
  };
  return arrange({q, kv, latents[2]}, {tokens, 3 * heads * width}, heads_of, ops.memory());
}

at::Tensor LatentAttention::values(const at::Tensor& outputs, Ops& ops) const {
  const std::int64_t tokens = outputs.size(0), heads = spec_.heads, width = spec_.latent->value_dim;
  if (width == spec_.head_dim) return outputs;
  const auto unfilled = [=](const std::vector<at::Tensor>& inputs, const at::Tensor& output) {
    return Places{{inputs[0].view({tokens, heads, -1}).narrow(2, 0, width), output.view({tokens, heads, width})}};
  };
  return arrange({outputs}, {tokens, heads * width}, unfilled, ops.memory());
}

}  // namespace autoround::model
