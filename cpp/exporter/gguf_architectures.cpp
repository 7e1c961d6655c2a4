#include "exporter/gguf_architectures.hpp"

#include <ATen/ops/arange.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.hpp"
#include "base/text.hpp"
#include "exporter/gguf_rope.hpp"

namespace autoround::exporter {
namespace {

using model::DecoderSpec;

constexpr std::array<GgufName, 9> common_names{{
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"post_attention_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
}};
constexpr std::array<GgufName, 2> phi3_names{{{"self_attn.qkv_proj", "attn_qkv"}, {"mlp.gate_up_proj", "ffn_up"}}};
constexpr std::array<GgufName, 2> qwen3_names{{{"self_attn.q_norm", "attn_q_norm"}, {"self_attn.k_norm", "attn_k_norm"}}};

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

void check_smollm3(const DecoderSpec& spec, Offences& offences) {
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    if (spec.layers[i].attention.rope.has_value() == ((i + 1) % 4 != 0)) continue;
    offences.emplace_back("llama.cpp leaves positions out of every fourth layer of smollm3, this model (no_rope_layers) of others");
    return;
  }
}

constexpr std::array<GgufArchitecture, 7> table{{
    {"granite", "granite", true, {}, add_granite, nullptr},
    {"llama", "llama", true, {}, nullptr, nullptr},
    {"mistral", "llama", true, {}, nullptr, nullptr},
    {"phi3", "phi3", false, phi3_names, add_phi3, nullptr},
    {"qwen2", "qwen2", false, {}, nullptr, nullptr},
    {"qwen3", "qwen3", false, qwen3_names, nullptr, nullptr},
    {"smollm3", "smollm3", true, {}, nullptr, check_smollm3},
}};

std::string_view find_name(const GgufArchitecture& architecture, std::string_view module) {
  for (const gsl::span<const GgufName> names : {architecture.names, gsl::span<const GgufName>(common_names)}) {
    for (const GgufName& entry : names)
      if (entry.module == module) return entry.name;
  }
  return {};
}

/// How many heads the rows of a projection are, when their order changes.
std::int64_t paired_heads(const GgufArchitecture& architecture, const model::AttentionSpec& attention,
                          std::string_view name) {
  if (!architecture.pairs_rows) return 0;
  return name == "attn_q" ? attention.heads : name == "attn_k" ? attention.kv_heads : 0;
}

}  // namespace

const GgufArchitecture& gguf_architecture(const std::string& model_type) {
  std::vector<std::string> names;
  for (const GgufArchitecture& architecture : table) {
    if (architecture.model_type == model_type) return architecture;
    names.emplace_back(architecture.model_type);
  }
  fail(Code::unsupported, "gguf",
       "model_type " + quote(model_type) + " cannot be written as GGUF; those that can are " + join(names, ", "));
}

Offences gguf_offences(const GgufArchitecture& architecture, const DecoderSpec& spec) {
  Offences offences;
  for (const model::LayerSpec& layer : spec.layers) {
    if (layer.mlp.activation == model::Activation::silu) continue;
    offences.emplace_back("llama.cpp computes SiLU in this family, hidden_act is another");
    break;
  }
  check_rope(spec, offences);
  if (architecture.check != nullptr) architecture.check(spec, offences);
  return offences;
}

void add_architecture(const GgufArchitecture& architecture, const DecoderSpec& spec, GgufMetadata& metadata) {
  const std::string prefix = std::string(architecture.name) + ".";
  const model::AttentionSpec& attention = spec.layers.front().attention;
  metadata.add_text("general.architecture", architecture.name);
  metadata.add_text("general.type", "model");
  metadata.add_integer("general.quantization_version", 2);
  metadata.add_integer(prefix + "vocab_size", spec.vocab_size);
  metadata.add_integer(prefix + "context_length", spec.max_position);
  metadata.add_integer(prefix + "embedding_length", spec.hidden_size);
  metadata.add_integer(prefix + "block_count", static_cast<std::int64_t>(spec.layers.size()));
  metadata.add_integer(prefix + "feed_forward_length", spec.layers.front().mlp.intermediate);
  metadata.add_integer(prefix + "attention.head_count", attention.heads);
  metadata.add_integer(prefix + "attention.head_count_kv", attention.kv_heads);
  metadata.add_integer(prefix + "attention.key_length", attention.head_dim);
  metadata.add_integer(prefix + "attention.value_length", attention.head_dim);
  metadata.add_number(prefix + "attention.layer_norm_rms_epsilon", spec.norm_eps);
  add_rope_keys(prefix, spec, metadata);
  if (architecture.add_keys != nullptr) architecture.add_keys(prefix, spec, metadata);
}

std::optional<GgufPlace> gguf_place(const GgufArchitecture& architecture, const DecoderSpec& spec,
                                    const std::string& tensor) {
  const std::size_t dot = tensor.rfind('.');
  if (dot == std::string::npos) return std::nullopt;
  const std::string module = tensor.substr(0, dot), suffix = tensor.substr(dot);
  if (suffix != ".weight" && suffix != ".bias") return std::nullopt;
  if (module == spec.embed_tokens()) return GgufPlace{"token_embd" + suffix};
  if (module == spec.final_norm()) return GgufPlace{"output_norm" + suffix};
  if (module == spec.lm_head) return GgufPlace{"output" + suffix};

  std::string layers = spec.layer_name(0);
  layers.pop_back();
  if (module.rfind(layers, 0) != 0) return std::nullopt;
  std::size_t layer = 0;
  const char* end = module.data() + module.size();
  const auto [rest, error] = std::from_chars(module.data() + layers.size(), end, layer);
  if (error != std::errc() || rest == end || *rest != '.' || layer >= spec.layers.size()) return std::nullopt;
  const std::string_view name = find_name(architecture, {rest + 1, static_cast<std::size_t>(end - rest - 1)});
  if (name.empty()) return std::nullopt;
  return GgufPlace{"blk." + std::to_string(layer) + "." + std::string(name) + suffix,
                   paired_heads(architecture, spec.layers[layer].attention, name)};
}

at::Tensor gguf_paired_rows(std::int64_t rows, std::int64_t heads) {
  return at::arange(rows).view({heads, 2, rows / heads / 2}).transpose(1, 2).reshape({rows});
}

}  // namespace autoround::exporter
