#include "exporter/gguf_architectures.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.hpp"
#include "exporter/gguf_rope.hpp"

namespace autoround::exporter {
namespace {

using model::DecoderSpec;

constexpr std::array<GgufName, 19> common_names{{
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"self_attn.o_proj", "attn_output"},
    {"post_attention_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"mlp.gate", "ffn_gate_inp"},
    {"mlp.gate.e_score_correction_bias", "exp_probs_b"},
    {"mlp.experts.*.gate_proj", "ffn_gate_exps"},
    {"mlp.experts.*.up_proj", "ffn_up_exps"},
    {"mlp.experts.*.down_proj", "ffn_down_exps"},
    {"mlp.shared_experts.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_experts.up_proj", "ffn_up_shexp"},
    {"mlp.shared_experts.down_proj", "ffn_down_shexp"},
}};

/// Reads a number from the front of `text` and takes it off.
std::optional<std::int64_t> take_number(std::string_view& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

/// Whether `module` is what `pattern` says; `slice` becomes the number of the expert.
bool matches(std::string_view pattern, std::string_view module, std::int64_t& slice) {
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == module;
  if (module.substr(0, star) != pattern.substr(0, star)) return false;
  module.remove_prefix(std::min(star, module.size()));
  const auto number = take_number(module);
  if (!number || module != pattern.substr(star + 1)) return false;
  slice = *number;
  return true;
}

std::string_view find_name(const GgufArchitecture& architecture, std::string_view module, std::int64_t& slice) {
  for (const gsl::span<const GgufName> names : {architecture.names, gsl::span<const GgufName>(common_names)}) {
    for (const GgufName& entry : names)
      if (matches(entry.module, module, slice)) return entry.name;
  }
  return {};
}

GgufRows rows_of(const GgufArchitecture& architecture, const model::AttentionSpec& attention, std::string_view name) {
  if (name == "attn_qkv" && attention.qkv_by_head) return {GgufRows::Order::by_kind, attention.heads};
  if (architecture.pairs_rows && name == "attn_q") return {GgufRows::Order::paired, attention.heads};
  if (architecture.pairs_rows && name == "attn_k") return {GgufRows::Order::paired, attention.kv_heads};
  return {};
}

bool is_activation(model::Activation found, model::Activation wanted) {
  using model::Activation;
  return found == wanted || (wanted == Activation::gelu_tanh && found == Activation::gelu);
}

void check_windows(const GgufArchitecture& architecture, const DecoderSpec& spec, Offences& offences) {
  const std::int64_t period = architecture.window_period, window = spec.layers.front().attention.window;
  for (std::size_t i = 0; period > 0 && i < spec.layers.size(); ++i) {
    const bool is_whole = static_cast<std::int64_t>(i) % period == period - 1;
    if (spec.layers[i].attention.window == (is_whole ? 0 : window) && window > 0) continue;
    offences.push_back("llama.cpp takes a sliding window in all but every " + std::to_string(period) +
                       "th layer for granted in this family, this model (layer_types) has others");
    return;
  }
}

void add_experts(const std::string& prefix, const model::ExpertsSpec& experts, GgufMetadata& metadata) {
  metadata.add_integer(prefix + "expert_count", experts.router.experts);
  metadata.add_integer(prefix + "expert_used_count", experts.router.top_k);
  metadata.add_integer(prefix + "expert_feed_forward_length", experts.intermediate);
  if (experts.shared_intermediate > 0)
    metadata.add_integer(prefix + "expert_shared_feed_forward_length", experts.shared_intermediate);
}

}  // namespace

std::size_t layers_before_experts(const DecoderSpec& spec) {
  const auto first = std::find_if(spec.layers.begin(), spec.layers.end(),
                                  [](const model::LayerSpec& layer) { return layer.experts.has_value(); });
  return static_cast<std::size_t>(first - spec.layers.begin());
}

void check_layers(const DecoderSpec& spec, const char* usual, IsUsual is_usual, Offences& offences) {
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    if (is_usual(spec.layers[i], i)) continue;
    offences.push_back(concat({"llama.cpp takes for granted in ", spec.model_type, " that ", usual, "; layer ",
                               std::to_string(i), " is otherwise"}));
    return;
  }
}

Offences gguf_offences(const GgufArchitecture& architecture, const DecoderSpec& spec) {
  Offences offences;
  for (const model::LayerSpec& layer : spec.layers) {
    if (is_activation(layer.mlp.activation, architecture.activation)) continue;
    offences.emplace_back("llama.cpp computes another activation than hidden_act in this family");
    break;
  }
  const auto is_biased = [](const model::LayerSpec& layer) { return layer.attention.out_bias || layer.mlp.bias; };
  if (!architecture.has_biases && std::any_of(spec.layers.begin(), spec.layers.end(), is_biased))
    offences.emplace_back("llama.cpp knows no biases of o_proj and of feed-forward networks in this family");
  check_windows(architecture, spec, offences);
  check_rope(architecture, spec, offences);
  if (architecture.check != nullptr) architecture.check(spec, offences);
  return offences;
}

void add_architecture(const GgufArchitecture& architecture, const DecoderSpec& spec, GgufMetadata& metadata) {
  const std::string prefix = std::string(architecture.name) + ".";
  const model::LayerSpec& layer = spec.layers.front();
  const model::AttentionSpec& attention = layer.attention;
  metadata.add_text("general.architecture", architecture.name);
  metadata.add_text("general.type", "model");
  metadata.add_integer("general.quantization_version", 2);
  metadata.add_integer(prefix + "vocab_size", spec.vocab_size);
  metadata.add_integer(prefix + "context_length", spec.max_position);
  metadata.add_integer(prefix + "embedding_length", spec.hidden_size);
  metadata.add_integer(prefix + "block_count", static_cast<std::int64_t>(spec.layers.size()));
  metadata.add_integer(prefix + "feed_forward_length", layer.mlp.intermediate);
  metadata.add_integer(prefix + "attention.head_count", attention.heads);
  metadata.add_integer(prefix + "attention.head_count_kv", attention.kv_heads);
  metadata.add_integer(prefix + "attention.key_length", attention.key_dim());
  metadata.add_integer(prefix + "attention.value_length", attention.value_dim());
  const bool is_rms = spec.norm.kind == model::NormKind::rms;
  metadata.add_number(prefix + (is_rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon"),
                      spec.norm_eps);
  if (architecture.window_period > 0) metadata.add_integer(prefix + "attention.sliding_window", attention.window);
  if (const std::size_t dense = layers_before_experts(spec); dense < spec.layers.size())
    add_experts(prefix, *spec.layers[dense].experts, metadata);
  add_rope_keys(prefix, spec, metadata);
  if (architecture.add_keys != nullptr) architecture.add_keys(prefix, spec, metadata);
}

std::optional<GgufPlace> gguf_place(const GgufArchitecture& architecture, const DecoderSpec& spec,
                                    const std::string& tensor) {
  const std::size_t dot = tensor.rfind('.');
  if (dot == std::string::npos) return std::nullopt;
  // A router's bias that only chooses, and attention's sinks, are named like modules of their own.
  const bool is_correction = tensor.ends_with(".e_score_correction_bias"), is_sinks = tensor.ends_with(".sinks");
  const std::string module = is_correction || is_sinks ? tensor : tensor.substr(0, dot);
  const std::string suffix = is_correction ? ".bias" : is_sinks ? ".weight" : tensor.substr(dot);
  if (suffix != ".weight" && suffix != ".bias") return std::nullopt;
  if (module == spec.embed_tokens()) return GgufPlace{"token_embd" + suffix};
  if (module == spec.final_norm()) return GgufPlace{"output_norm" + suffix};
  if (module == spec.lm_head) return GgufPlace{"output" + suffix};

  std::string layers = spec.layer_name(0);
  layers.pop_back();
  if (module.rfind(layers, 0) != 0) return std::nullopt;
  std::string_view rest = std::string_view(module).substr(layers.size());
  const auto layer = take_number(rest);
  if (!layer || *layer >= static_cast<std::int64_t>(spec.layers.size()) || rest.empty() || rest[0] != '.')
    return std::nullopt;
  GgufPlace place;
  const std::string_view name = find_name(architecture, rest.substr(1), place.slice);
  if (name.empty()) return std::nullopt;
  place.name = concat({"blk.", std::to_string(*layer), ".", name, suffix});
  place.rows = rows_of(architecture, spec.layers[static_cast<std::size_t>(*layer)].attention, name);
  return place;
}

at::Tensor GgufRows::sources(std::int64_t rows) const {
  const at::Tensor all = at::arange(rows);
  if (order == Order::kept) return all;
  return order == Order::paired ? all.view({heads, 2, rows / heads / 2}).transpose(1, 2).reshape({rows})
                                : all.view({heads, 3, rows / heads / 3}).transpose(0, 1).reshape({rows});
}

}  // namespace autoround::exporter
