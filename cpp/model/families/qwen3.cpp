#include "model/families/family.hpp"
#include "model/families/skeleton.hpp"

namespace autoround::model {

DecoderSpec read_qwen3(const checkpoint::HfConfig& config) {
  DecoderSpec spec =
      read_skeleton(config, {.class_prefix = "Qwen3", .kv_heads = 32, .head_dim = 128, .max_position = 32768});
  const JsonView text = config.text();
  const bool attention_bias = text.boolean_or("attention_bias", false);
  for (LayerSpec& layer : spec.layers) {
    layer.attention.qkv_bias = layer.attention.out_bias = attention_bias;
    layer.attention.qk_norm = QkNorm::head;
  }
  read_window_layers(spec, text);
  return spec;
}

}  // namespace autoround::model
