#include "model/decoder_layer.hpp"

#include <ATen/ATen.h>

#include <tuple>
#include <utility>

#include "model/elementwise.hpp"

namespace autoround::model {

std::unique_ptr<DecoderLayer> DecoderLayer::load(const DecoderSpec& spec, std::size_t index,
                                                 const WeightSource& weights, at::ScalarType dtype) {
  auto layer = std::make_unique<DecoderLayer>();
  layer->name_ = spec.layer_name(index);
  layer->index_ = index;
  layer->spec_ = spec.layers.at(index);
  layer->attention_ = Attention::load(spec, layer->spec_.attention, layer->name_, weights, dtype);
  const MlpSpec& mlp = layer->spec_.mlp;
  if (const auto& experts = layer->spec_.experts)
    layer->experts_ = Experts::load(*experts, mlp, layer->name_, spec.hidden_size, weights, dtype);
  else
    layer->mlp_ = Mlp::load(spec, mlp, layer->name_, weights, dtype);

  const auto norm = [&](const std::string& name) {
    return Norm::load(spec, name.empty() ? name : layer->name_ + "." + name, {spec.hidden_size}, weights, dtype);
  };
  const LayerNames& names = spec.names;
  layer->attention_norms_ = {norm(names.attention_input_norm), norm(names.attention_output_norm),
                             norm(names.attention_sum_norm)};
  layer->mlp_norms_ = {norm(names.mlp_input_norm), norm(names.mlp_output_norm), norm(names.mlp_sum_norm)};
  return layer;
}

std::vector<Projection*> DecoderLayer::projections() {
  std::vector<Projection*> all = attention_.projections();
  for (Projection* projection : experts_ ? experts_->projections() : mlp_.projections()) all.push_back(projection);
  return all;
}

at::Tensor DecoderLayer::input_norm(const at::Tensor& x, Ops& ops) const { return attention_norms_.input(x, ops); }

at::Tensor DecoderLayer::forward(const at::Tensor& x, std::int64_t batch, const RopeTable* rope, Ops& ops) const {
  at::Tensor normed = input_norm(x, ops);
  const auto scaled = [&](const at::Tensor& branch) {
    return spec_.residual_multiplier == 1.0 ? branch : branch * spec_.residual_multiplier;
  };
  at::Tensor attention = scaled(attention_norms_.output(attention_.forward(normed, batch, rope, ops), ops));
  const auto feed_forward = [&](at::Tensor input) {
    return scaled(
        mlp_norms_.output(experts_ ? experts_->forward(input, ops) : mlp_.forward(std::move(input), ops), ops));
  };
  if (spec_.parallel)
    return sum_with(feed_forward(mlp_norms_.input ? mlp_norms_.input(x, ops) : normed), sum_with(attention, x));

  normed.reset();  // before the widest part of the layer nothing is held that nobody needs again
  at::Tensor residual, mlp_input;
  if (attention_norms_.sum) {
    residual = attention_norms_.sum(sum_with(attention, x), ops);
    mlp_input = mlp_norms_.input(residual, ops);
  } else {
    std::tie(residual, mlp_input) = mlp_norms_.input.of_sum(x, attention, ops);
  }
  attention.reset();
  return mlp_norms_.sum(sum_with(feed_forward(std::move(mlp_input)), residual), ops);
}

}  // namespace autoround::model
