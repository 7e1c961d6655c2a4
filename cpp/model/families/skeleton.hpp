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

/// How transformers' configuration class of the family fills in keys that config.json lacks, and how it calls them.
struct SkeletonDefaults {
  std::string class_prefix;              // "Llama": LlamaForCausalLM, LlamaDecoderLayer ...
  std::optional<std::int64_t> kv_heads;  // nullopt: as many as heads
  std::optional<std::int64_t> head_dim;  // nullopt: hidden_size / num_attention_heads
  std::int64_t max_position = 2048;
  std::optional<std::int64_t> original_max_position;  // nullopt: the rope parameters', else max_position
  double norm_eps = 1e-6, rope_theta = 10000.0;
  std::optional<double> partial_rotary;  // of partial_rotary_factor; nullopt: the whole of each head is rotated
  bool tie_word_embeddings = false;
  std::string activation = "silu";
  // Keys; where one is empty, the family has no such key and the default holds.
  std::string kv_heads_key = "num_key_value_heads", head_dim_key = "head_dim", norm_eps_key = "rms_norm_eps";
  std::string intermediate_key = "intermediate_size", activation_key = "hidden_act";
  std::string partial_rotary_key = "partial_rotary_factor";
  bool rotates = true;            // false: no rope
  bool yarn_is_longrope = false;  // its former name
  std::string rope_layer_type;    // of HfConfig::rope_parameters
  // Sizes that multimodal checkpoints leave out of their text_config; nullopt: the key must be there.
  std::optional<std::int64_t> vocab_size, hidden_size, intermediate, layers, heads;
};

/// Sizes, names, norms, activation and rope; no biases, no window, no q/k norm. Layers are all alike.
/// @throws Error parse: a key is missing or out of range. unsupported: an activation or rope type that is not known.
DecoderSpec read_skeleton(const checkpoint::HfConfig& config, const SkeletonDefaults& defaults);

/// Sets the window of layers as the Qwen configurations say it: use_sliding_window, sliding_window, and layer_types or
/// max_window_layers.
void read_window_layers(DecoderSpec& spec, const JsonView& text);

/// Sets the window of layers as Gemma's, Cohere's and gpt_oss's configurations say it: sliding_window, `fallback` by
/// default, on the layers that layer_types names; without it on all but every `interval`-th.
void read_window_pattern(DecoderSpec& spec, const JsonView& text, std::int64_t interval, std::int64_t fallback = 4096);

/// The key that gives the window of all layers; null or absent means none.
void read_window(DecoderSpec& spec, const JsonView& text);

/// Rope parameters of a head of `head_dim` elements. @throws as read_skeleton
RopeSpec read_rope(const checkpoint::HfConfig& config, std::int64_t head_dim, std::int64_t max_position,
                   const SkeletonDefaults& defaults);

/// A number that must be greater than 0. @throws parse
double positive_number(const JsonView& text, const std::string& key, double fallback);

/// A limit of scores or logits: absent means `fallback`, null none, which is 0 here. @throws parse: not positive
double read_softcap(const JsonView& text, const std::string& key, double fallback);

/// Refuses a switch that changes what the model computes and that nothing here implements. @throws unsupported
void require_off(const JsonView& text, const std::string& key);

}  // namespace autoround::model
