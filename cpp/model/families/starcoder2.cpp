#include "model/families/family.hpp"
#include "model/families/skeleton.hpp"

namespace autoround::model {

DecoderSpec read_starcoder2(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(config, {.class_prefix = "Starcoder2",
                                            .kv_heads = 2,
                                            .max_position = 4096,
                                            .norm_eps = 1e-5,
                                            .tie_word_embeddings = true,
                                            .activation = "gelu_pytorch_tanh",
                                            .norm_eps_key = "norm_epsilon"});
  const JsonView text = config.text();
  spec.norm = {.kind = NormKind::layer, .bias = true};
  spec.norm_class = "LayerNorm";
  spec.names.up = "c_fc";
  spec.names.down = "c_proj";
  spec.names.activation = "act";
  const bool bias = text.boolean_or("use_bias", true);
  for (LayerSpec& layer : spec.layers) {
    layer.attention.qkv_bias = layer.attention.out_bias = layer.mlp.bias = bias;
    layer.mlp.gated = false;
  }
  read_window(spec, text);
  return spec;
}

}  // namespace autoround::model
