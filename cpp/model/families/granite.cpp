#include "model/families/family.hpp"
#include "model/families/skeleton.hpp"

namespace autoround::model {

DecoderSpec read_granite(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(config, {.class_prefix = "Granite"});
  const JsonView text = config.text();
  spec.embedding_multiplier = positive_number(text, "embedding_multiplier", 1.0);
  spec.logits_scaling = positive_number(text, "logits_scaling", 1.0);
  for (LayerSpec& layer : spec.layers) {
    layer.residual_multiplier = positive_number(text, "residual_multiplier", 1.0);
    layer.attention.scale = positive_number(text, "attention_multiplier", 1.0);
    layer.attention.qkv_bias = layer.attention.out_bias = text.boolean_or("attention_bias", false);
    layer.mlp.bias = text.boolean_or("mlp_bias", false);
  }
  return spec;
}

}  // namespace autoround::model
