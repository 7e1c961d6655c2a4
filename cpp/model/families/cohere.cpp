#include "model/families/family.hpp"
#include "model/families/skeleton.hpp"

namespace autoround::model {
namespace {

DecoderSpec read_common(const checkpoint::HfConfig& config, const SkeletonDefaults& defaults) {
  DecoderSpec spec = read_skeleton(config, defaults);
  const JsonView text = config.text();
  spec.norm = {.kind = NormKind::layer, .wide = true};
  spec.norm_class = defaults.class_prefix + "LayerNorm";
  spec.names.mlp_input_norm = "";  // both branches take the one norm's output
  spec.logits_scaling = 1.0 / positive_number(text, "logit_scale", 0.0625);
  for (LayerSpec& layer : spec.layers) {
    layer.parallel = true;
    layer.attention.rope->interleaved = true;
    layer.attention.qkv_bias = layer.attention.out_bias = text.boolean_or("attention_bias", false);
  }
  return spec;
}

}  // namespace

DecoderSpec read_cohere(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_common(config, {.class_prefix = "Cohere",
                                          .max_position = 8192,
                                          .norm_eps = 1e-5,
                                          .rope_theta = 500000.0,
                                          .tie_word_embeddings = true,
                                          .norm_eps_key = "layer_norm_eps"});
  if (config.text().boolean_or("use_qk_norm", false))
    for (LayerSpec& layer : spec.layers) layer.attention.qk_norm = QkNorm::heads;
  return spec;
}

DecoderSpec read_cohere2(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_common(config, {.class_prefix = "Cohere2",
                                          .max_position = 8192,
                                          .norm_eps = 1e-5,
                                          .tie_word_embeddings = true,
                                          .head_dim_key = "",
                                          .norm_eps_key = "layer_norm_eps"});
  const JsonView text = config.text();
  read_window_pattern(spec, text, text.integer_or("sliding_window_pattern", 4, 1, max_positions));
  for (LayerSpec& layer : spec.layers)  // those that see everything have no positions
    if (layer.attention.window == 0) layer.attention.rope.reset();
  return spec;
}

}  // namespace autoround::model
