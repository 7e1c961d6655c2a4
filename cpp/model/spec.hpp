// A decoder model as plain data. A family file (model/families/) maps config.json to it; the forward code exists once
// and reads only this. A new family is a new mapping, not new arithmetic.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/hf_config.hpp"

namespace autoround::model {

enum class Activation { silu, gelu, gelu_tanh, relu };
enum class RopeType { standard, linear, dynamic, llama3, yarn, longrope };

struct RopeSpec {
  RopeType type = RopeType::standard;
  double theta = 10000.0;
  std::int64_t rotary_dim = 0;  // leading part of each head that is rotated; even
  double factor = 1.0;
  double low_freq_factor = 1.0, high_freq_factor = 4.0;    // llama3
  double original_max_position = 0.0, max_position = 0.0;  // llama3, yarn, longrope; dynamic
  double beta_fast = 32.0, beta_slow = 1.0;                // yarn
  std::optional<double> attention_factor;                  // yarn, longrope
  std::optional<double> mscale, mscale_all_dim;            // yarn
  bool truncate = true;                                    // yarn
  std::vector<double> short_factor, long_factor;           // longrope: [rotary_dim / 2]

  bool operator==(const RopeSpec&) const = default;
};

struct AttentionSpec {
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  double scale = 0.0;       // factor of q.k
  std::int64_t window = 0;  // a key is visible iff q - window < k <= q; 0 = no window
  bool qkv_bias = false, out_bias = false;
  bool fused_qkv = false;  // the checkpoint has one qkv_proj, rows of q, k and v in this order
  bool qk_norm = false;    // RMSNorm over each head of q and k before rope
  std::optional<RopeSpec> rope;
};

struct MlpSpec {
  std::int64_t intermediate = 0;
  Activation activation = Activation::silu;
  std::string activation_class;  // "SiLUActivation"
  bool bias = false;
  bool fused_gate_up = false;  // the checkpoint has one gate_up_proj, rows of gate and up in this order
};

struct LayerSpec {
  AttentionSpec attention;
  MlpSpec mlp;
  double residual_multiplier = 1.0;  // of both branches before they are added
};

struct DecoderSpec {
  std::string model_type;    // "llama"
  std::string architecture;  // "LlamaForCausalLM"
  std::string layer_class;   // "LlamaDecoderLayer", the sequential target
  std::string model_class, pretrained_class, attention_class, mlp_class, norm_class, rotary_class;
  std::int64_t vocab_size = 0, hidden_size = 0, max_position = 0;
  double norm_eps = 1e-6;
  double embedding_multiplier = 1.0;  // of the embeddings
  double logits_scaling = 1.0;        // divides the logits
  bool tie_word_embeddings = false;
  std::vector<LayerSpec> layers;
  // Names in the checkpoint. Layer i lives under layer_prefix + "i.".
  std::string prefix = "model.";
  std::string embed_tokens() const { return prefix + "embed_tokens"; }
  std::string layer_name(std::size_t i) const { return prefix + "layers." + std::to_string(i); }
  std::string final_norm() const { return prefix + "norm"; }
  std::string lm_head = "lm_head";
};

/// @throws Error unsupported: model_type is not known (the message lists those that are); parse: a value out of range.
DecoderSpec read_spec(const checkpoint::HfConfig& config);
/// The same, with the name prefixes under which this checkpoint stores the language model ("model." for text models,
/// "model.language_model." or "language_model.model." inside multimodal ones).
DecoderSpec read_spec(const checkpoint::Checkpoint& checkpoint);
std::vector<std::string> supported_families();

}  // namespace autoround::model
