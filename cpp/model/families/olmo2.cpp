#include "model/families/family.hpp"
#include "model/families/skeleton.hpp"

namespace autoround::model {

DecoderSpec read_olmo2(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(config, {.class_prefix = "Olmo2", .norm_eps = 1e-5});
  spec.norm.wide = true;
  spec.names.attention_input_norm = spec.names.mlp_input_norm = "";
  spec.names.attention_output_norm = "post_attention_layernorm";
  spec.names.mlp_output_norm = "post_feedforward_layernorm";
  const bool attention_bias = config.text().boolean_or("attention_bias", false);
  for (LayerSpec& layer : spec.layers) {
    layer.attention.qkv_bias = layer.attention.out_bias = attention_bias;
    layer.attention.qk_norm = QkNorm::whole;
  }
  return spec;
}

}  // namespace autoround::model
