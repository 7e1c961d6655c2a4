#include "model/families/family.hpp"
#include "model/families/skeleton.hpp"

namespace autoround::model {

DecoderSpec read_gpt_neox(const checkpoint::HfConfig& config) {
  const JsonView text = config.text();
  DecoderSpec spec = read_skeleton(config, {.class_prefix = "GPTNeoX",
                                            .norm_eps = 1e-5,
                                            .rope_theta = text.number_or("rotary_emb_base", 10000.0),
                                            .partial_rotary = 0.25,
                                            .activation = "gelu",
                                            .kv_heads_key = "",
                                            .head_dim_key = "",
                                            .norm_eps_key = "layer_norm_eps",
                                            .partial_rotary_key = "rotary_pct"});
  spec.layer_class = "GPTNeoXLayer";
  spec.norm = {.kind = NormKind::layer, .bias = true};
  spec.norm_class = "LayerNorm";
  spec.prefix = "gpt_neox.";
  spec.embeddings = "embed_in";
  spec.norm_name = "final_layer_norm";
  spec.names.attention = "attention";
  spec.names.qkv = "query_key_value";
  spec.names.out = "dense";
  spec.names.up = "dense_h_to_4h";
  spec.names.down = "dense_4h_to_h";
  spec.names.activation = "act";
  for (LayerSpec& layer : spec.layers) {
    layer.parallel = text.boolean_or("use_parallel_residual", true);
    layer.attention.fused_qkv = layer.attention.qkv_by_head = true;
    layer.attention.qkv_bias = layer.attention.out_bias = text.boolean_or("attention_bias", true);
    layer.mlp.gated = false;
    layer.mlp.bias = true;
  }
  return spec;
}

}  // namespace autoround::model
