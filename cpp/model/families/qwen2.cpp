#include "model/families/family.hpp"
#include "model/families/skeleton.hpp"

namespace autoround::model {

DecoderSpec read_qwen2(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(config, {.class_prefix = "Qwen2", .kv_heads = 32, .max_position = 32768});
  for (LayerSpec& layer : spec.layers) layer.attention.qkv_bias = true;
  read_window_layers(spec, config.text());
  return spec;
}

}  // namespace autoround::model
