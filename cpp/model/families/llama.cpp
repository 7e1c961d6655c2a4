#include "model/families/family.hpp"
#include "model/families/skeleton.hpp"

namespace autoround::model {

DecoderSpec read_llama(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(config, {.class_prefix = "Llama"});
  const JsonView text = config.text();
  const bool attention_bias = text.boolean_or("attention_bias", false);
  const bool mlp_bias = text.boolean_or("mlp_bias", false);
  for (LayerSpec& layer : spec.layers) {
    layer.attention.qkv_bias = layer.attention.out_bias = attention_bias;
    layer.mlp.bias = mlp_bias;
  }
  return spec;
}

}  // namespace autoround::model
