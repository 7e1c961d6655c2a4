#include "exporter/gguf_expert_families.hpp"

#include <array>

#include "base/text.hpp"

namespace autoround::exporter {
namespace {

using model::DecoderSpec;
using model::RopeType;

constexpr std::array<GgufName, 4> of_mixtral{{
    {"block_sparse_moe.gate", "ffn_gate_inp"},
    {"block_sparse_moe.experts.*.w1", "ffn_gate_exps"},
    {"block_sparse_moe.experts.*.w3", "ffn_up_exps"},
    {"block_sparse_moe.experts.*.w2", "ffn_down_exps"},
}};

constexpr std::array<GgufName, 4> of_qwen_moe{{
    {"mlp.shared_expert.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_expert.up_proj", "ffn_up_shexp"},
    {"mlp.shared_expert.down_proj", "ffn_down_shexp"},
    {"mlp.shared_expert_gate", "ffn_gate_inp_shexp"},
}};

constexpr std::array<GgufName, 1> of_glm4_moe{{
    {"post_attention_layernorm", "post_attention_norm"},
}};

// kv_b_proj as one tensor: the form of DeepSeek that llama.cpp computes without absorbing keys into queries, as they
// would have to be transposed, and with them the groups that were tuned.
constexpr std::array<GgufName, 6> of_deepseek{{
    {"self_attn.q_a_proj", "attn_q_a"},
    {"self_attn.q_a_layernorm", "attn_q_a_norm"},
    {"self_attn.q_b_proj", "attn_q_b"},
    {"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"},
    {"self_attn.kv_a_layernorm", "attn_kv_a_norm"},
    {"self_attn.kv_b_proj", "attn_kv_b"},
}};

constexpr std::array<GgufName, 3> of_gpt_oss{{
    {"self_attn.sinks", "attn_sinks"},
    {"post_attention_layernorm", "post_attention_norm"},
    {"mlp.router", "ffn_gate_inp"},
}};

}  // namespace

gsl::span<const GgufName> mixtral_names() { return of_mixtral; }
gsl::span<const GgufName> qwen_moe_names() { return of_qwen_moe; }
gsl::span<const GgufName> glm4_moe_names() { return of_glm4_moe; }
gsl::span<const GgufName> deepseek_names() { return of_deepseek; }
gsl::span<const GgufName> gpt_oss_names() { return of_gpt_oss; }

void add_later_experts(const std::string& prefix, const DecoderSpec& spec, GgufMetadata& metadata) {
  constexpr std::int64_t by_softmax = 1, by_sigmoid = 2;
  const std::size_t dense = layers_before_experts(spec);
  metadata.add_integer(prefix + "leading_dense_block_count", static_cast<std::int64_t>(dense));
  if (dense == spec.layers.size()) return;
  const model::ExpertsSpec& experts = *spec.layers[dense].experts;
  const model::RouterSpec& router = experts.router;
  metadata.add_integer(prefix + "expert_shared_count", experts.shared_intermediate / experts.intermediate);
  metadata.add_integer(prefix + "expert_gating_func",
                       router.scores == model::RouterSpec::Scores::sigmoid ? by_sigmoid : by_softmax);
  metadata.add_flag(prefix + "expert_weights_norm", router.normalize);
  metadata.add_number(prefix + "expert_weights_scale", router.scaling);
  if (router.top_groups == router.groups) return;
  metadata.add_integer(prefix + "expert_group_count", router.groups);
  metadata.add_integer(prefix + "expert_group_used_count", router.top_groups);
}

void add_deepseek(const std::string& prefix, const DecoderSpec& spec, GgufMetadata& metadata) {
  const model::LatentSpec& latent = *spec.layers.front().attention.latent;
  if (latent.q_rank > 0) metadata.add_integer(prefix + "attention.q_lora_rank", latent.q_rank);
  metadata.add_integer(prefix + "attention.kv_lora_rank", latent.kv_rank);
  add_later_experts(prefix, spec, metadata);
}

void check_normalized_experts(const DecoderSpec& spec, Offences& offences) {
  const auto is_usual = [](const model::LayerSpec& layer, std::size_t) {
    return layer.experts && layer.experts->router.normalize;
  };
  check_layers(spec, "all layers have experts, whose weights add up to 1 (norm_topk_prob)", is_usual, offences);
}

void check_plain_experts(const DecoderSpec& spec, Offences& offences) {
  const auto is_usual = [](const model::LayerSpec& layer, std::size_t) {
    return layer.experts && !layer.experts->router.normalize;
  };
  check_layers(spec, "all layers have experts, whose weights stay as they are (norm_topk_prob)", is_usual, offences);
}

void check_groups(const DecoderSpec& spec, Offences& offences) {
  const auto is_usual = [](const model::LayerSpec& layer, std::size_t) {
    if (!layer.experts) return true;
    const model::RouterSpec& router = layer.experts->router;
    return router.top_groups == router.groups || router.group_best == 2;
  };
  check_layers(spec, "a group of experts is worth its two best (topk_method)", is_usual, offences);
}

void check_deepseek(const DecoderSpec& spec, Offences& offences) {
  check_groups(spec, offences);
  const model::AttentionSpec& attention = spec.layers.front().attention;
  const model::LatentSpec& latent = *attention.latent;
  const bool is_lite = spec.layers.size() == 26 || spec.layers.size() == 27;
  if (is_lite == (latent.q_rank > 0))
    offences.emplace_back(
        "llama.cpp takes for granted that deepseek with 26 or 27 layers has no q_lora_rank, and others have");
  if (!latent.interleaved)
    offences.emplace_back("llama.cpp rotates neighbours in deepseek, this model (rope_interleave) does not");
  if (latent.norm_eps != spec.norm_eps)
    offences.push_back("llama.cpp takes rms_norm_eps " + format_number(latent.norm_eps) + " for granted in deepseek");
  if (layers_before_experts(spec) == spec.layers.size())
    offences.emplace_back("llama.cpp wants a layer with experts in deepseek");
  const bool is_scaled = attention.rope->type == RopeType::yarn || attention.rope->type == RopeType::linear;
  if (is_scaled && attention.rope->factor <= 1.0)
    offences.emplace_back("llama.cpp wants a factor above 1 in deepseek's positions");
}

void check_gpt_oss(const DecoderSpec& spec, Offences& offences) {
  const model::AttentionSpec& attention = spec.layers.front().attention;
  if (!attention.qkv_bias || !attention.out_bias)
    offences.emplace_back("llama.cpp wants all biases of attention in gpt_oss");
  if (spec.tie_word_embeddings) offences.emplace_back("llama.cpp wants a head of its own in gpt_oss");
}

}  // namespace autoround::exporter
