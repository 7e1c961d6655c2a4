#include "model/families/family.hpp"
#include "model/families/skeleton.hpp"

namespace autoround::model {

DecoderSpec read_mistral(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(config, {.class_prefix = "Mistral", .kv_heads = 8, .max_position = 131072});
  const JsonView text = config.text();
  // An absent key means the default of the first Mistral model; null means no window.
  const bool windowed = text.has("sliding_window") || !text.json().contains("sliding_window");
  if (!windowed) return spec;
  const std::int64_t window = text.integer_or("sliding_window", 4096, 1, max_positions);
  for (LayerSpec& layer : spec.layers) layer.attention.window = window;
  return spec;
}

}  // namespace autoround::model
