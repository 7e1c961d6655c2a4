#include "model/attention.hpp"

#include <ATen/ATen.h>

namespace autoround::model {
namespace {

/// Pairs (2i, 2i + 1) of the leading part of each head put to (i, i + rotary_dim / 2). Of q and k alike, this leaves
/// every product q.k as it is. x: [T, heads, D]
at::Tensor deinterleave(const at::Tensor& x, std::int64_t rotary_dim) {
  const at::Tensor pairs = x.narrow(-1, 0, rotary_dim).unflatten(-1, {rotary_dim / 2, 2});
  const at::Tensor halves = pairs.transpose(-1, -2).flatten(-2);
  const std::int64_t rest = x.size(-1) - rotary_dim;
  return rest == 0 ? halves : at::cat({halves, x.narrow(-1, rotary_dim, rest)}, -1);
}

}  // namespace

std::vector<std::int64_t> qk_norm_shape(QkNorm kind, std::int64_t heads, std::int64_t head_dim) {
  switch (kind) {
    case QkNorm::none:
      break;
    case QkNorm::head:
      return {head_dim};
    case QkNorm::heads:
      return {heads, head_dim};
    case QkNorm::whole:
      return {heads * head_dim};
  }
  return {};
}

Attention Attention::load(const DecoderSpec& spec, const AttentionSpec& attention, const std::string& layer,
                          const WeightSource& weights, at::ScalarType dtype) {
  const LayerNames& names = spec.names;
  const std::string prefix = layer + "." + names.attention + ".";
  const std::int64_t query = attention.heads * attention.head_dim, key = attention.kv_heads * attention.head_dim;
  const std::vector<Projection::Part> split = {{.name = prefix + names.q, .rows = query},
                                               {.name = prefix + names.k, .rows = key},
                                               {.name = prefix + names.v, .rows = key}};
  const std::vector<Projection::Part> fused = {{.name = prefix + names.qkv, .rows = query + 2 * key}};

  Attention loaded;
  loaded.spec_ = attention;
  if (attention.latent) {
    loaded.latent_ = LatentAttention::load(attention, prefix, spec.hidden_size, weights, dtype);
  } else {
    loaded.qkv_ =
        load_projection(weights, attention.fused_qkv ? fused : split, spec.hidden_size, attention.qkv_bias, dtype);
  }
  loaded.out_ = load_projection(weights, {{.name = prefix + names.out, .rows = spec.hidden_size}},
                                attention.heads * attention.value_dim(), attention.out_bias, dtype);
  if (attention.sinks) {
    loaded.sinks_ = weights.memory({attention.heads}, dtype);
    weights.load_into(prefix + "sinks", loaded.sinks_);
  }
  if (attention.qk_norm == QkNorm::none) return loaded;
  const auto load_norm = [&](const std::string& name, std::int64_t heads) {
    return Norm::load(spec, prefix + name, qk_norm_shape(attention.qk_norm, heads, attention.head_dim), weights, dtype);
  };
  loaded.q_norm_ = load_norm(names.q_norm, attention.heads);
  loaded.k_norm_ = load_norm(names.k_norm, attention.kv_heads);
  const bool interleaved = attention.rope && attention.rope->interleaved;
  loaded.norm_in_kernel_ =
      attention.qk_norm == QkNorm::head && spec.norm.kind == NormKind::rms && !spec.norm.wide && !interleaved;
  return loaded;
}

std::vector<Projection*> Attention::projections() {
  std::vector<Projection*> all = latent_ ? latent_->projections() : std::vector<Projection*>{&qkv_};
  all.push_back(&out_);
  return all;
}

at::Tensor Attention::forward(const at::Tensor& normed, std::int64_t batch, const RopeTable* rope, Ops& ops) const {
  const at::Tensor heads = latent_ ? latent_->qkv(normed, ops) : prepare_heads(ops.linear(qkv_, normed), ops);
  AttentionInput input{.qkv = heads, .batch = batch, .spec = &spec_, .rope = rope, .sinks = sinks_};
  if (norm_in_kernel_) {
    input.q_norm = q_norm_.weight();
    input.k_norm = k_norm_.weight();
    input.norm_eps = q_norm_.eps();
  }
  const at::Tensor attended = ops.attention(input);
  return ops.linear(out_, latent_ ? latent_->values(attended) : attended);
}

/// qkv as the checkpoint orders it -> as attention takes it, with everything done that attention does not do itself.
at::Tensor Attention::prepare_heads(const at::Tensor& qkv, Ops& ops) const {
  const std::int64_t tokens = qkv.size(0), dim = spec_.head_dim;
  const at::Tensor ordered =
      spec_.qkv_by_head ? qkv.view({tokens, spec_.heads, 3, dim}).transpose(1, 2).reshape({tokens, -1}) : qkv;
  const bool norms = q_norm_ && !norm_in_kernel_, interleaved = spec_.rope && spec_.rope->interleaved;
  if (!norms && !interleaved) return ordered;

  const std::int64_t query = spec_.heads * dim, key = spec_.kv_heads * dim;
  const auto prepare = [&](const at::Tensor& part, const Norm& norm) {
    at::Tensor x = part;
    if (norms) x = spec_.qk_norm == QkNorm::whole ? norm(x, ops) : norm(x.unflatten(1, {-1, dim}), ops).flatten(1);
    return interleaved ? deinterleave(x.unflatten(1, {-1, dim}), spec_.rope->rotary_dim).flatten(1) : x;
  };
  return at::cat({prepare(ordered.narrow(1, 0, query), q_norm_), prepare(ordered.narrow(1, query, key), k_norm_),
                  ordered.narrow(1, query + key, key)},
                 1);
}

}  // namespace autoround::model
