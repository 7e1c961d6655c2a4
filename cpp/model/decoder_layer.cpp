#include "model/decoder_layer.hpp"

#include <ATen/ATen.h>

#include <utility>

#include "model/buffer_pool.hpp"

namespace autoround::model {
namespace {

at::Tensor load_norm(const WeightSource& weights, const std::string& module, std::int64_t size, at::ScalarType dtype) {
  at::Tensor weight = at::empty({size}, dtype);
  weights.load_into(module + ".weight", weight);
  return weight;
}

/// Linears that share their input of `columns` elements, row under row.
Projection load_projection(const WeightSource& weights, std::vector<Projection::Part> parts, std::int64_t columns,
                           bool bias, at::ScalarType dtype) {
  std::int64_t rows = 0;
  for (Projection::Part& part : parts) {
    part.row = rows;
    rows += part.rows;
  }
  Projection projection;
  projection.weight = mapped_tensor({rows, columns}, dtype);
  if (bias) projection.bias = at::empty({rows}, dtype);
  for (const Projection::Part& part : parts) {
    weights.load_into(part.name + ".weight", projection.weight.narrow(0, part.row, part.rows));
    if (bias) weights.load_into(part.name + ".bias", projection.bias.narrow(0, part.row, part.rows));
  }
  projection.parts = std::move(parts);
  return projection;
}

}  // namespace

std::unique_ptr<DecoderLayer> DecoderLayer::load(const DecoderSpec& spec, std::size_t index,
                                                 const WeightSource& weights, at::ScalarType dtype) {
  auto layer = std::make_unique<DecoderLayer>();
  layer->name_ = spec.layer_name(index);
  layer->index_ = index;
  layer->spec_ = spec.layers.at(index);
  layer->norm_eps_ = spec.norm_eps;

  const AttentionSpec& attention = layer->spec_.attention;
  const MlpSpec& mlp = layer->spec_.mlp;
  const std::int64_t hidden = spec.hidden_size;
  const std::int64_t query = attention.heads * attention.head_dim, key = attention.kv_heads * attention.head_dim;
  const std::string attn = layer->name_ + ".self_attn.", feed = layer->name_ + ".mlp.";

  const auto load = [&](std::vector<Projection::Part> parts, std::int64_t columns, bool bias) {
    return load_projection(weights, std::move(parts), columns, bias, dtype);
  };
  const std::vector<Projection::Part> split_qkv = {{.name = attn + "q_proj", .rows = query},
                                                   {.name = attn + "k_proj", .rows = key},
                                                   {.name = attn + "v_proj", .rows = key}};
  const std::vector<Projection::Part> fused_qkv = {{.name = attn + "qkv_proj", .rows = query + 2 * key}};
  layer->qkv_ = load(attention.fused_qkv ? fused_qkv : split_qkv, hidden, attention.qkv_bias);
  layer->out_ = load({{.name = attn + "o_proj", .rows = hidden}}, query, attention.out_bias);
  const std::vector<Projection::Part> split_gate_up = {{.name = feed + "gate_proj", .rows = mlp.intermediate},
                                                       {.name = feed + "up_proj", .rows = mlp.intermediate}};
  const std::vector<Projection::Part> fused_gate_up = {{.name = feed + "gate_up_proj", .rows = 2 * mlp.intermediate}};
  layer->gate_up_ = load(mlp.fused_gate_up ? fused_gate_up : split_gate_up, hidden, mlp.bias);
  layer->down_ = load({{.name = feed + "down_proj", .rows = hidden}}, mlp.intermediate, mlp.bias);

  layer->input_norm_ = load_norm(weights, layer->name_ + ".input_layernorm", hidden, dtype);
  layer->post_attention_norm_ = load_norm(weights, layer->name_ + ".post_attention_layernorm", hidden, dtype);
  if (attention.qk_norm) {
    layer->q_norm_ = load_norm(weights, attn + "q_norm", attention.head_dim, dtype);
    layer->k_norm_ = load_norm(weights, attn + "k_norm", attention.head_dim, dtype);
  }
  return layer;
}

std::vector<Projection*> DecoderLayer::projections() { return {&qkv_, &out_, &gate_up_, &down_}; }

at::Tensor DecoderLayer::input_norm(const at::Tensor& x, Ops& ops) const {
  return ops.rms_norm(x, input_norm_, norm_eps_);
}

at::Tensor DecoderLayer::forward(const at::Tensor& x, std::int64_t batch, const RopeTable* rope, Ops& ops) const {
  return forward_normed(x, input_norm(x, ops), batch, rope, ops);
}

at::Tensor DecoderLayer::forward_normed(const at::Tensor& x, const at::Tensor& normed, std::int64_t batch,
                                        const RopeTable* rope, Ops& ops) const {
  const at::Tensor heads = ops.attention({.qkv = ops.linear(qkv_, normed),
                                          .batch = batch,
                                          .spec = &spec_.attention,
                                          .rope = rope,
                                          .q_norm = q_norm_,
                                          .k_norm = k_norm_,
                                          .norm_eps = norm_eps_});
  const auto branch = [&](const at::Tensor& output) {
    return spec_.residual_multiplier == 1.0 ? output : output * spec_.residual_multiplier;
  };
  const auto [residual, mlp_input] =
      ops.add_rms_norm(x, branch(ops.linear(out_, heads)), post_attention_norm_, norm_eps_);
  const at::Tensor activated = ops.gated_activation(ops.linear(gate_up_, mlp_input), spec_.mlp.activation);
  return residual + branch(ops.linear(down_, activated));
}

}  // namespace autoround::model
