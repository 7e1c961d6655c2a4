#include "model/families/family.hpp"
#include "model/families/skeleton.hpp"

namespace autoround::model {

DecoderSpec read_opt(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(config, {.class_prefix = "OPT",
                                            .norm_eps = 1e-5,
                                            .tie_word_embeddings = true,
                                            .activation = "relu",
                                            .kv_heads_key = "",
                                            .head_dim_key = "",
                                            .norm_eps_key = "",
                                            .intermediate_key = "ffn_dim",
                                            .activation_key = "activation_function",
                                            .rotates = false});
  const JsonView text = config.text();
  const bool affine = text.boolean_or("layer_norm_elementwise_affine", true);
  const bool norm_before = text.boolean_or("do_layer_norm_before", true);
  spec.model_class = "OPTDecoder";
  spec.prefix = "model.decoder.";
  spec.norm = {.kind = NormKind::layer, .weight = affine, .bias = affine};
  spec.norm_class = "LayerNorm";
  spec.norm_name = norm_before && !text.boolean_or("_remove_final_layer_norm", false) ? "final_layer_norm" : "";
  spec.positions = {.name = "embed_positions", .class_name = "OPTLearnedPositionalEmbedding", .offset = 2};
  if (const std::int64_t size = text.integer_or("word_embed_proj_dim", spec.hidden_size, 1, max_positions);
      size != spec.hidden_size)
    spec.embedding_size = size;

  LayerNames& names = spec.names;
  names.out = "out_proj";
  names.mlp = "";
  names.up = "fc1";
  names.down = "fc2";
  names.activation = "activation_fn";
  (norm_before ? names.attention_input_norm : names.attention_sum_norm) = "self_attn_layer_norm";
  (norm_before ? names.mlp_input_norm : names.mlp_sum_norm) = "final_layer_norm";
  if (!norm_before) names.attention_input_norm = names.mlp_input_norm = "";
  for (LayerSpec& layer : spec.layers) {
    layer.attention.qkv_bias = layer.attention.out_bias = layer.mlp.bias = text.boolean_or("enable_bias", true);
    layer.mlp.gated = false;
  }
  return spec;
}

}  // namespace autoround::model
