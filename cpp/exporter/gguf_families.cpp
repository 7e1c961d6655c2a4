// The table of gguf_architectures.hpp: what each family has beside the common names and keys, and what llama.cpp takes
// for granted in it.
#include <array>
#include <cmath>

#include "base/error.hpp"
#include "base/text.hpp"
#include "exporter/gguf_architectures.hpp"
#include "exporter/gguf_expert_families.hpp"

namespace autoround::exporter {
namespace {

using model::Activation;
using model::DecoderSpec;

constexpr std::array<GgufName, 2> phi3_names{{
    {"self_attn.qkv_proj", "attn_qkv"},
    {"mlp.gate_up_proj", "ffn_up"},
}};
constexpr std::array<GgufName, 3> output_norm_names{{
    {"post_attention_layernorm", "post_attention_norm"},
    {"pre_feedforward_layernorm", "ffn_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
}};
constexpr std::array<GgufName, 3> glm4_names{{
    {"post_self_attn_layernorm", "post_attention_norm"},
    {"post_mlp_layernorm", "post_ffw_norm"},
    {"mlp.gate_up_proj", "ffn_up"},
}};
constexpr std::array<GgufName, 2> starcoder2_names{{
    {"mlp.c_fc", "ffn_up"},
    {"mlp.c_proj", "ffn_down"},
}};
constexpr std::array<GgufName, 4> gpt_neox_names{{
    {"attention.query_key_value", "attn_qkv"},
    {"attention.dense", "attn_output"},
    {"mlp.dense_h_to_4h", "ffn_up"},
    {"mlp.dense_4h_to_h", "ffn_down"},
}};
void add_granite(const std::string& prefix, const DecoderSpec& spec, GgufMetadata& metadata) {
  const model::LayerSpec& layer = spec.layers.front();
  metadata.add_number(prefix + "attention.scale", layer.attention.scale);
  metadata.add_number(prefix + "embedding_scale", spec.embedding_multiplier);
  metadata.add_number(prefix + "residual_scale", layer.residual_multiplier);
  metadata.add_number(prefix + "logit_scale", spec.logits_scaling);
}

void add_phi3(const std::string& prefix, const DecoderSpec& spec, GgufMetadata& metadata) {
  metadata.add_integer(prefix + "attention.sliding_window", spec.layers.front().attention.window);
}

void add_softcaps(const std::string& prefix, const DecoderSpec& spec, GgufMetadata& metadata) {
  if (const double softcap = spec.layers.front().attention.softcap; softcap > 0.0)
    metadata.add_number(prefix + "attn_logit_softcapping", softcap);
  if (spec.logits_softcap > 0.0) metadata.add_number(prefix + "final_logit_softcapping", spec.logits_softcap);
}

void add_cohere(const std::string& prefix, const DecoderSpec& spec, GgufMetadata& metadata) {
  metadata.add_number(prefix + "logit_scale", 1.0 / spec.logits_scaling);
}

void add_gpt_neox(const std::string& prefix, const DecoderSpec& spec, GgufMetadata& metadata) {
  metadata.add_flag(prefix + "use_parallel_residual", spec.layers.front().parallel);
}

void check_smollm3(const DecoderSpec& spec, Offences& offences) {
  const auto is_usual = [](const model::LayerSpec& layer, std::size_t i) {
    return layer.attention.rope.has_value() == (i % 4 != 3);
  };
  check_layers(spec, "every fourth layer alone has no positions (no_rope_layers)", is_usual, offences);
}

void check_cohere(const DecoderSpec& spec, Offences& offences) {
  const bool normalizes = spec.layers.front().attention.qk_norm != model::QkNorm::none;
  if (normalizes != (spec.layers.size() >= 64))
    offences.emplace_back("llama.cpp takes for granted that cohere has use_qk_norm from 64 layers on, and not below");
}

void check_cohere2(const DecoderSpec& spec, Offences& offences) {
  const auto is_usual = [](const model::LayerSpec& layer, std::size_t) {
    return layer.attention.rope.has_value() == (layer.attention.window > 0);
  };
  check_layers(spec, "layers with a window alone have positions", is_usual, offences);
}

/// `large`: the number of layers of the one size whose scale is that of the embeddings' part of a head.
void check_gemma_scale(const DecoderSpec& spec, std::size_t large, Offences& offences) {
  const model::AttentionSpec& attention = spec.layers.front().attention;
  const double size = spec.layers.size() == large
                          ? static_cast<double>(spec.hidden_size) / static_cast<double>(attention.heads)
                          : static_cast<double>(attention.head_dim);
  if (std::abs(attention.scale * std::sqrt(size) - 1.0) > 1e-6)
    offences.push_back("llama.cpp takes query_pre_attn_scalar " + format_number(size) + " for granted in " +
                       spec.model_type + " of this size");
}

void check_gemma2(const DecoderSpec& spec, Offences& offences) {
  check_gemma_scale(spec, 46, offences);
  if (spec.logits_softcap == 0.0 || spec.layers.front().attention.softcap == 0.0)
    offences.emplace_back("llama.cpp limits logits in gemma2, this model (softcapping) does not");
}

void check_gemma3(const DecoderSpec& spec, Offences& offences) {
  check_gemma_scale(spec, 62, offences);
  if (spec.logits_softcap > 0.0)
    offences.emplace_back("llama.cpp does not limit logits in gemma3, this model (final_logit_softcapping) does");
}

void check_biases(const DecoderSpec& spec, Offences& offences) {
  const model::LayerSpec& layer = spec.layers.front();
  if (!layer.attention.qkv_bias || !layer.attention.out_bias || !layer.mlp.bias)
    offences.push_back("llama.cpp wants all biases in " + spec.model_type);
}

/// The row of a family that llama.cpp treats as another.
GgufArchitecture also_called(GgufArchitecture architecture, std::string_view model_type) {
  architecture.model_type = model_type;
  return architecture;
}

const std::array<GgufArchitecture, 25>& table() {
  constexpr Activation gelu = Activation::gelu_tanh;
  static const GgufArchitecture deepseek{.model_type = "deepseek_v2",
                                         .name = "deepseek2",
                                         .names = deepseek_names(),
                                         .add_keys = add_deepseek,
                                         .check = check_deepseek};
  static const GgufArchitecture gemma3{.model_type = "gemma3",
                                       .name = "gemma3",
                                       .activation = gelu,
                                       .has_head = false,
                                       .window_period = 6,
                                       .names = output_norm_names,
                                       .check = check_gemma3};
  static const GgufArchitecture llama{.model_type = "llama",
                                      .name = "llama",
                                      .pairs_rows = true,
                                      .has_biases = true,
                                      .has_llama3 = true,
                                      .has_longrope = true};
  static const GgufArchitecture mistral{
      .model_type = "mistral", .name = "llama", .pairs_rows = true, .has_llama3 = true, .has_longrope = true};
  static const std::array<GgufArchitecture, 25> rows{{
      // Command-R says 8192 positions and was trained with 131072.
      {.model_type = "cohere",
       .name = "command-r",
       .has_head = false,
       .length_key = "model_max_length",
       .add_keys = add_cohere,
       .check = check_cohere},
      {.model_type = "cohere2",
       .name = "cohere2",
       .has_head = false,
       .window_period = 4,
       .add_keys = add_cohere,
       .check = check_cohere2},
      deepseek,
      also_called(deepseek, "deepseek_v3"),
      {.model_type = "gemma", .name = "gemma", .activation = gelu, .has_head = false},
      {.model_type = "gemma2",
       .name = "gemma2",
       .activation = gelu,
       .has_head = false,
       .window_period = 2,
       .names = output_norm_names,
       .add_keys = add_softcaps,
       .check = check_gemma2},
      gemma3,
      also_called(gemma3, "gemma3_text"),
      {.model_type = "glm4", .name = "glm4", .names = glm4_names},
      {.model_type = "glm4_moe",
       .name = "glm4moe",
       .names = glm4_moe_names(),
       .add_keys = add_later_experts,
       .check = check_groups},
      {.model_type = "gpt_neox",
       .name = "gptneox",
       .activation = gelu,
       .has_biases = true,
       .names = gpt_neox_names,
       .add_keys = add_gpt_neox,
       .check = check_biases},
      {.model_type = "gpt_oss",
       .name = "gpt-oss",
       .activation = Activation::clamped_swiglu,
       .has_biases = true,
       .window_period = 2,
       .names = gpt_oss_names(),
       .check = check_gpt_oss},
      {.model_type = "granite",
       .name = "granite",
       .pairs_rows = true,
       .has_biases = true,
       .has_llama3 = true,
       .has_longrope = true,
       .add_keys = add_granite},
      llama,
      mistral,
      also_called(mistral, "mistral3"),
      {.model_type = "mixtral",
       .name = "llama",
       .pairs_rows = true,
       .has_llama3 = true,
       .has_longrope = true,
       .names = mixtral_names(),
       .check = check_normalized_experts},
      {.model_type = "olmo2", .name = "olmo2", .names = output_norm_names},
      {.model_type = "phi3", .name = "phi3", .has_longrope = true, .names = phi3_names, .add_keys = add_phi3},
      {.model_type = "qwen2", .name = "qwen2"},
      {.model_type = "qwen2_moe", .name = "qwen2moe", .names = qwen_moe_names(), .check = check_plain_experts},
      {.model_type = "qwen3", .name = "qwen3"},
      {.model_type = "qwen3_moe", .name = "qwen3moe", .names = qwen_moe_names(), .check = check_normalized_experts},
      {.model_type = "smollm3", .name = "smollm3", .pairs_rows = true, .check = check_smollm3},
      {.model_type = "starcoder2",
       .name = "starcoder2",
       .activation = gelu,
       .has_biases = true,
       .names = starcoder2_names,
       .check = check_biases},
  }};
  return rows;
}

}  // namespace

const GgufArchitecture& gguf_architecture(const std::string& model_type) {
  std::vector<std::string> names;
  for (const GgufArchitecture& architecture : table()) {
    if (architecture.model_type == model_type) return architecture;
    names.emplace_back(architecture.model_type);
  }
  fail(Code::unsupported, "gguf",
       "model_type " + quote(model_type) + " cannot be written as GGUF; those that can are " + join(names, ", "));
}

}  // namespace autoround::exporter
