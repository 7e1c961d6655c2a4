#include "model/families/family.hpp"
#include "model/families/skeleton.hpp"

namespace autoround::model {

DecoderSpec read_glm4(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(config, {.class_prefix = "Glm4",
                                            .kv_heads = 2,
                                            .head_dim = 128,
                                            .max_position = 131072,
                                            .norm_eps = 1.5625e-7,
                                            .partial_rotary = 0.5});
  spec.names.activation = "activation_fn";
  spec.names.attention_output_norm = "post_self_attn_layernorm";
  spec.names.mlp_output_norm = "post_mlp_layernorm";
  for (LayerSpec& layer : spec.layers) {
    layer.attention.rope->interleaved = true;
    layer.attention.qkv_bias = config.text().boolean_or("attention_bias", true);
    layer.mlp.fused_gate_up = true;
  }
  return spec;
}

}  // namespace autoround::model
