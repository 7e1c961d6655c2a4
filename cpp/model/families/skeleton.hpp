// What the llama-like families share: reading the common keys of config.json into a DecoderSpec, with range checks. A
// family file calls read_skeleton with its defaults and then writes down what is different about it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "model/spec.hpp"

namespace autoround::model {

/// Limit of positions and windows: what a config.json says beyond it is a mistake.
inline constexpr std::int64_t max_positions = std::int64_t{1} << 31;

/// How transformers' configuration class of the family fills in keys that config.json lacks.
struct SkeletonDefaults {
  std::string class_prefix;              // "Llama": LlamaForCausalLM, LlamaDecoderLayer ...
  std::optional<std::int64_t> kv_heads;  // nullopt: as many as heads
  std::optional<std::int64_t> head_dim;  // nullopt: hidden_size / num_attention_heads
  std::int64_t max_position = 2048;
  double norm_eps = 1e-6, rope_theta = 10000.0;
  bool partial_rotary = false;  // partial_rotary_factor may leave a part of each head alone
  bool tie_word_embeddings = false;
};

/// Sizes, names, norms, activation and rope; no biases, no window, no q/k norm. Layers are all alike.
/// @throws Error parse: a key is missing or out of range. unsupported: an activation or rope type that is not known.
DecoderSpec read_skeleton(const checkpoint::HfConfig& config, const SkeletonDefaults& defaults);

/// Sets the window of layers as the Qwen configurations say it: use_sliding_window, sliding_window, and layer_types or
/// max_window_layers.
void read_window_layers(DecoderSpec& spec, const JsonView& text);

/// Rope parameters of a head of `head_dim` elements. @throws as read_skeleton
RopeSpec read_rope(const checkpoint::HfConfig& config, std::int64_t head_dim, std::int64_t max_position,
                   const SkeletonDefaults& defaults);

}  // namespace autoround::model
