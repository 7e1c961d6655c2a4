#include <cmath>

#include "model/families/family.hpp"
#include "model/families/skeleton.hpp"

namespace autoround::model {
namespace {

/// What all of them share: norms times 1 + weight, scaled embeddings, biases by one switch.
DecoderSpec read_common(const checkpoint::HfConfig& config, const SkeletonDefaults& defaults) {
  DecoderSpec spec = read_skeleton(config, defaults);
  const JsonView text = config.text();
  require_off(text, "use_bidirectional_attention");
  spec.norm = {.wide = true, .unit_offset = true};
  spec.embedding_multiplier = std::sqrt(static_cast<double>(spec.hidden_size));
  spec.embedding_multiplier_typed = true;
  for (LayerSpec& layer : spec.layers)
    layer.attention.qkv_bias = layer.attention.out_bias = text.boolean_or("attention_bias", false);
  return spec;
}

/// Since the second generation: four norms a layer, a scale of its own, a limit for logits, windows on all but every
/// `interval`-th layer.
void read_second(DecoderSpec& spec, const JsonView& text, double logits_softcap, std::int64_t interval) {
  spec.names.attention_output_norm = "post_attention_layernorm";
  spec.names.mlp_input_norm = "pre_feedforward_layernorm";
  spec.names.mlp_output_norm = "post_feedforward_layernorm";
  spec.logits_softcap = read_softcap(text, "final_logit_softcapping", logits_softcap);
  const double scale = 1.0 / std::sqrt(positive_number(text, "query_pre_attn_scalar", 256.0));
  for (LayerSpec& layer : spec.layers) layer.attention.scale = scale;
  read_window_pattern(spec, text, interval);
}

}  // namespace

DecoderSpec read_gemma(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_common(config, {.class_prefix = "Gemma",
                                          .kv_heads = 16,
                                          .head_dim = 256,
                                          .max_position = 8192,
                                          .tie_word_embeddings = true,
                                          .activation = "gelu_pytorch_tanh"});
  spec.embedding_class = "GemmaTextScaledWordEmbedding";
  return spec;
}

DecoderSpec read_gemma2(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_common(config, {.class_prefix = "Gemma2",
                                          .kv_heads = 4,
                                          .head_dim = 256,
                                          .max_position = 8192,
                                          .tie_word_embeddings = true,
                                          .activation = "gelu_pytorch_tanh",
                                          .activation_key = "hidden_activation"});
  spec.embedding_class = "Gemma2TextScaledWordEmbedding";
  const JsonView text = config.text();
  read_second(spec, text, 30.0, 2);
  for (LayerSpec& layer : spec.layers) layer.attention.softcap = read_softcap(text, "attn_logit_softcapping", 50.0);
  return spec;
}

DecoderSpec read_gemma3(const checkpoint::HfConfig& config) {
  SkeletonDefaults defaults{.class_prefix = "Gemma3",
                            .kv_heads = 4,
                            .head_dim = 256,
                            .max_position = 131072,
                            .rope_theta = 1e6,
                            .tie_word_embeddings = true,
                            .activation = "gelu_pytorch_tanh",
                            .activation_key = "hidden_activation",
                            .rope_layer_type = "full_attention",
                            .vocab_size = 262208,
                            .hidden_size = 2304,
                            .intermediate = 9216,
                            .layers = 26,
                            .heads = 8};
  DecoderSpec spec = read_common(config, defaults);
  spec.model_class = "Gemma3TextModel";
  spec.embedding_class = "Gemma3TextScaledWordEmbedding";
  const JsonView text = config.text();
  // Unlike Gemma 2, scores have no limit: no reader looks at attn_logit_softcapping.
  read_second(spec, text, 0.0, text.integer_or("sliding_window_pattern", 6, 1, max_positions));

  defaults.rope_theta = 10000.0;
  defaults.rope_layer_type = "sliding_attention";
  const RopeSpec local = read_rope(config, spec.layers.front().attention.head_dim, spec.max_position, defaults);
  for (LayerSpec& layer : spec.layers) {
    layer.attention.qk_norm = QkNorm::head;
    if (layer.attention.window > 0) layer.attention.rope = local;
  }
  return spec;
}

}  // namespace autoround::model
