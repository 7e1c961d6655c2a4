#include "model/attention.hpp"

#include <ATen/ATen.h>

#include "model/arrange.hpp"

namespace autoround::model {
namespace {

/// Copies heads [T, heads, D] from one tensor to another. Interleaved, pairs (2i, 2i + 1) of the leading part of each
/// go to (i, i + rotary_dim / 2), which leaves every product q.k as it is where q and k are treated alike.
void place(Places& places, const at::Tensor& from, const at::Tensor& to, std::int64_t interleaved_dim) {
  const std::int64_t rest = from.size(2) - interleaved_dim;
  if (interleaved_dim > 0) {
    const std::int64_t half = interleaved_dim / 2;
    places.emplace_back(from.narrow(2, 0, interleaved_dim).unflatten(2, {half, 2}).transpose(2, 3),
                        to.narrow(2, 0, interleaved_dim).unflatten(2, {2, half}));
  }
  if (rest > 0) places.emplace_back(from.narrow(2, interleaved_dim, rest), to.narrow(2, interleaved_dim, rest));
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
  loaded.norms_heads_ = attention.qk_norm == QkNorm::head && spec.norm.kind == NormKind::rms && !interleaved;
  return loaded;
}

std::vector<Projection*> Attention::projections() {
  std::vector<Projection*> all = latent_ ? latent_->projections() : std::vector<Projection*>{&qkv_};
  all.push_back(&out_);
  return all;
}

at::Tensor Attention::forward(const at::Tensor& normed, std::int64_t batch, const RopeTable* rope, Ops& ops) const {
  const bool inside = norms_heads_ && ops.norms_heads(spec_, normed.scalar_type(), q_norm_.weight().scalar_type());
  const at::Tensor heads =
      latent_ ? latent_->qkv(normed, ops) : prepare_heads(ops.linear(qkv_, normed), q_norm_ && !inside, ops);
  AttentionInput input{.qkv = heads, .batch = batch, .spec = &spec_, .rope = rope, .sinks = sinks_};
  if (inside) {
    input.q_norm = q_norm_.weight();
    input.k_norm = k_norm_.weight();
    input.norm_eps = q_norm_.eps();
  }
  const at::Tensor attended = ops.attention(input);
  return ops.linear(out_, latent_ ? latent_->values(attended, ops) : attended);
}

/// qkv as the checkpoint orders it -> as attention takes it, with everything done that attention does not do itself.
at::Tensor Attention::prepare_heads(const at::Tensor& qkv, bool norms, Ops& ops) const {
  const std::int64_t dim = spec_.head_dim, query = spec_.heads * dim, key = spec_.kv_heads * dim;
  const bool interleaved = spec_.rope && spec_.rope->interleaved;
  if (!norms && !interleaved && !spec_.qkv_by_head) return qkv;

  at::Tensor ordered = qkv;
  if (spec_.qkv_by_head) {
    const std::int64_t count = spec_.heads;
    const auto by_kind = [=](const std::vector<at::Tensor>& inputs, const at::Tensor& output) {
      return Places{{inputs[0].unflatten(1, {count, 3, dim}).transpose(1, 2), output.unflatten(1, {3, count, dim})}};
    };
    ordered = arrange({qkv}, qkv.sizes(), by_kind, ops.memory());
  }
  if (!norms && !interleaved) return ordered;
  const std::int64_t turned = interleaved ? spec_.rope->rotary_dim : 0;
  const auto side_by_side = [=](const std::vector<at::Tensor>& inputs, const at::Tensor& output) {
    const std::vector<std::int64_t> widths{query, key, key};
    const std::vector<at::Tensor> from = inputs.size() == 1 ? inputs[0].split_with_sizes(widths, 1) : inputs,
                                  to = output.split_with_sizes(widths, 1);
    Places places;
    for (std::size_t i = 0; i < from.size(); ++i)
      place(places, from[i].unflatten(1, {-1, dim}), to[i].unflatten(1, {-1, dim}), i < 2 ? turned : 0);
    return places;
  };
  if (!norms) return arrange({ordered}, ordered.sizes(), side_by_side, ops.memory());
  const auto normed = [&](const at::Tensor& part, const Norm& norm) {
    return spec_.qk_norm == QkNorm::whole ? norm(part, ops) : norm(part.unflatten(1, {-1, dim}), ops).flatten(1);
  };
  const std::vector<at::Tensor> parts = ordered.split_with_sizes({query, key, key}, 1);
  return arrange({normed(parts[0], q_norm_), normed(parts[1], k_norm_), parts[2]}, ordered.sizes(), side_by_side,
                 ops.memory());
}

}  // namespace autoround::model
