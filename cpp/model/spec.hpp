// A decoder model as plain data. A family file (model/families/) maps config.json to it; the forward code exists once
// and reads only this. A new family is a new mapping, not new arithmetic.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "checkpoint/hf_config.hpp"

namespace autoround::model {

enum class Activation { silu, gelu, gelu_tanh, relu, clamped_swiglu };
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
  bool interleaved = false;  // element 2i turns with 2i + 1; otherwise i with i + rotary_dim / 2

  bool operator==(const RopeSpec&) const = default;
};

enum class NormKind { rms, layer };

/// The norms of a model are all of one kind, with the eps of the model.
struct NormSpec {
  NormKind kind = NormKind::rms;
  bool wide = false;         // times the weight in fp32, then rounded; otherwise rounded before the weight too
  bool unit_offset = false;  // times 1 + weight
  bool weight = true, bias = false;
};

/// What is normalized in q and in k before rope.
enum class QkNorm {
  none,
  head,   // each head, with one weight for all: [head_dim]
  heads,  // each head, with a weight of its own: [heads, head_dim]
  whole,  // all heads as one vector: [heads * head_dim]
};

/// Queries, keys and values from vectors of low rank (DeepSeek). A head has `rope_dim` elements that are rotated, in
/// the keys the same for all heads, and `nope_dim` that are not.
struct LatentSpec {
  std::int64_t q_rank = 0;  // 0: queries come straight from the hidden states
  std::int64_t kv_rank = 0, nope_dim = 0, rope_dim = 0, value_dim = 0;
  bool interleaved = true;  // pairs that are rotated are neighbours
  bool bias = false;        // of what leads to the latents
  double norm_eps = 1e-6;
};

struct AttentionSpec {
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  double scale = 0.0;       // factor of q.k
  std::int64_t window = 0;  // a key is visible iff q - window < k <= q; 0 = no window
  bool qkv_bias = false, out_bias = false;
  bool fused_qkv = false;    // the checkpoint has one qkv_proj, rows of q, k and v in this order
  bool qkv_by_head = false;  // its rows are q, k and v of the first head, then those of the second ...
  QkNorm qk_norm = QkNorm::none;
  double softcap = 0.0;  // scores become softcap * tanh(score / softcap) before the mask; 0 = they stay
  bool sinks = false;    // a learned logit for each head takes part in the softmax, without a value
  std::optional<RopeSpec> rope;
  std::optional<LatentSpec> latent;

  /// Elements of a key and of a value of one head; head_dim is room for either.
  std::int64_t key_dim() const { return latent ? latent->nope_dim + latent->rope_dim : head_dim; }
  std::int64_t value_dim() const { return latent ? latent->value_dim : head_dim; }
};

struct MlpSpec {
  std::int64_t intermediate = 0;
  Activation activation = Activation::silu;
  std::string activation_class;  // "SiLUActivation"
  bool gated = true;             // down(act(gate(x)) * up(x)); otherwise down(act(up(x)))
  bool bias = false;
  bool fused_gate_up = false;  // the checkpoint has one gate_up_proj, rows of gate and up in this order
};

/// Which experts a token goes to, and what each of them counts. From logits [T, experts] in the compute type.
struct RouterSpec {
  /// Over all experts, each expert by itself, or over the chosen ones only.
  enum class Scores { softmax, sigmoid, softmax_of_chosen };
  Scores scores = Scores::softmax;
  std::int64_t experts = 0, top_k = 0;
  std::int64_t groups = 1, top_groups = 1;  // only the experts of the best groups can be chosen
  std::int64_t group_best = 1;              // a group is worth the sum of its so many best experts
  bool wide = false;                        // logits are computed in fp32
  bool bias = false;                        // of the logits
  bool correction = false;                  // e_score_correction_bias: added to choose, not to weigh
  bool normalize = false;                   // the weights of a token add up to 1
  bool rounded = false;                     // weights are rounded to the compute type
  double scaling = 1.0;                     // of the weights
};

/// The experts that take the place of the feed-forward network, under the names that the checkpoint gives them.
struct ExpertsSpec {
  RouterSpec router;
  std::int64_t intermediate = 0;         // of one expert
  std::int64_t shared_intermediate = 0;  // of the network that sees every token; 0: none
  bool shared_gate = false;              // its output times sigmoid(shared_expert_gate(x))
  bool stacked = false;                  // one tensor holds all experts (stacked_experts.hpp), which have biases
  std::string block = "mlp", gate = "gate";
  std::string gate_proj = "gate_proj", up_proj = "up_proj", down_proj = "down_proj", shared = "shared_experts";
  std::string block_class, router_class, experts_class;
};

struct LayerSpec {
  AttentionSpec attention;
  MlpSpec mlp;
  std::optional<ExpertsSpec> experts;  // instead of mlp, with its activation
  double residual_multiplier = 1.0;    // of both branches before they are added
  bool parallel = false;               // both branches start from the layer's input and are added to it together
};

/// Names of the modules of a layer below its own; what has none does not exist. Norms sit where their names say.
struct LayerNames {
  std::string attention = "self_attn";
  std::string q = "q_proj", k = "k_proj", v = "v_proj", qkv = "qkv_proj", out = "o_proj";  // below attention
  std::string q_norm = "q_norm", k_norm = "k_norm";
  std::string mlp = "mlp";  // without one, its linears are the layer's own
  std::string gate = "gate_proj", up = "up_proj", gate_up = "gate_up_proj", down = "down_proj";  // below mlp
  std::string activation = "act_fn";
  std::string attention_input_norm = "input_layernorm", attention_output_norm;
  std::string attention_sum_norm;  // of the residual stream after attention was added
  std::string mlp_input_norm = "post_attention_layernorm", mlp_output_norm;
  std::string mlp_sum_norm;

  std::string mlp_prefix(const std::string& layer) const { return layer + (mlp.empty() ? "." : "." + mlp + "."); }
};

/// A learned vector for each position, added to the embeddings.
struct PositionSpec {
  std::string name;  // of the module below the prefix; none: no such vectors
  std::string class_name;
  std::int64_t offset = 0;  // row of the first position; max_position rows follow
};

struct DecoderSpec {
  std::string model_type;    // "llama"
  std::string architecture;  // "LlamaForCausalLM"
  std::string layer_class;   // "LlamaDecoderLayer", the sequential target
  std::string model_class, pretrained_class, attention_class, mlp_class, norm_class, rotary_class;
  std::string embedding_class = "Embedding";
  std::int64_t vocab_size = 0, hidden_size = 0, max_position = 0;
  std::optional<std::int64_t> embedding_size;  // of a token's vector, where linears lead from there to hidden_size
  NormSpec norm;
  double norm_eps = 1e-6;
  double embedding_multiplier = 1.0;        // of the embeddings
  bool embedding_multiplier_typed = false;  // it is rounded to the compute dtype first
  PositionSpec positions;
  double logits_scaling = 1.0;  // divides the logits
  double logits_softcap = 0.0;  // they become softcap * tanh(logit / softcap); 0 = they stay
  bool tie_word_embeddings = false;
  std::vector<LayerSpec> layers;
  // Names in the checkpoint.
  std::string prefix = "model.";
  std::string embeddings = "embed_tokens", norm_name = "norm";  // below prefix; without a name there is no final norm
  LayerNames names;
  std::string lm_head = "lm_head";
  // Where the checkpoint names modules otherwise than transformers does: {a module of the checkpoint, of transformers}.
  std::vector<std::pair<std::string, std::string>> renamed;
  std::string embed_tokens() const { return prefix + embeddings; }
  std::string layer_name(std::size_t i) const { return prefix + "layers." + std::to_string(i); }
  std::string final_norm() const { return norm_name.empty() ? norm_name : prefix + norm_name; }
  std::string alias(const std::string& module) const;  // what transformers calls it, where `renamed` says so; else ""
  std::string project_in() const { return prefix + "project_in"; }    // [hidden_size, embedding_size]
  std::string project_out() const { return prefix + "project_out"; }  // [embedding_size, hidden_size]
};

/// @throws Error unsupported: model_type is not known (the message lists those that are); parse: a value out of range.
DecoderSpec read_spec(const checkpoint::HfConfig& config);
/// The same, with the name prefixes under which this checkpoint stores the language model ("model." for text models,
/// "model.language_model." or "language_model.model." inside multimodal ones).
DecoderSpec read_spec(const checkpoint::Checkpoint& checkpoint);
std::vector<std::string> supported_families();

}  // namespace autoround::model
