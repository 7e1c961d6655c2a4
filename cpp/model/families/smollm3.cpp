#include "base/error.hpp"
#include "model/families/family.hpp"
#include "model/families/skeleton.hpp"

namespace autoround::model {
namespace {

/// Which layers rotate: `no_rope_layers` has a 1 for each that does, despite its name; without it every n-th does not.
std::vector<bool> rotating_layers(const JsonView& text, std::size_t layers) {
  std::vector<bool> rotates(layers);
  if (!text.has("no_rope_layers")) {
    const auto interval = static_cast<std::size_t>(text.integer_or("no_rope_layer_interval", 4, 1, max_positions));
    for (std::size_t i = 0; i < layers; ++i) rotates[i] = (i + 1) % interval != 0;
    return rotates;
  }
  const Json& given = text.json().at("no_rope_layers");
  if (!given.is_array() || given.size() != layers)
    fail(Code::parse, text.subject(),
         "`no_rope_layers` must be an array of " + std::to_string(layers) + " numbers, one for each layer");
  for (std::size_t i = 0; i < layers; ++i) {
    if (given[i] != 0 && given[i] != 1)
      fail(Code::parse, text.subject(), "`no_rope_layers[" + std::to_string(i) + "]` must be 0 or 1");
    rotates[i] = given[i] == 1;
  }
  return rotates;
}

}  // namespace

DecoderSpec read_smollm3(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(config, {.class_prefix = "SmolLM3",
                                            .kv_heads = 4,
                                            .max_position = 32768,
                                            .rope_theta = 2e6,
                                            .tie_word_embeddings = true});
  const JsonView text = config.text();
  const std::vector<bool> rotates = rotating_layers(text, spec.layers.size());
  // Where layer_types does not say which layers have a window, those do that do not rotate.
  if (text.has("layer_types")) {
    read_window_layers(spec, text);
  } else if (text.boolean_or("use_sliding_window", false) && text.has("sliding_window")) {
    const std::int64_t window = text.integer("sliding_window", 1, max_positions);
    for (std::size_t i = 0; i < spec.layers.size(); ++i)
      if (!rotates[i]) spec.layers[i].attention.window = window;
  }
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    LayerSpec& layer = spec.layers[i];
    if (!rotates[i]) layer.attention.rope.reset();
    layer.attention.qkv_bias = layer.attention.out_bias = text.boolean_or("attention_bias", false);
    layer.mlp.bias = text.boolean_or("mlp_bias", false);
  }
  return spec;
}

}  // namespace autoround::model
