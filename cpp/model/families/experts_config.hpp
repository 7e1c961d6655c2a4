// What the families with experts share: reading their common keys, and saying which layers have them.
#pragma once

#include <cstdint>
#include <string>

#include "model/families/skeleton.hpp"

namespace autoround::model {

/// How transformers' configuration class of the family fills in keys that config.json lacks.
struct ExpertsDefaults {
  std::int64_t experts = 0, intermediate = 0;
  std::int64_t top_k = 0;  // 0: the key must be there
  std::string intermediate_key = "moe_intermediate_size";
};

/// Numbers of experts and of those that a token goes to, and the width of one. No shared expert, a router with softmax.
/// @throws Error parse: a value is out of range.
ExpertsSpec read_experts(const JsonView& text, const ExpertsDefaults& defaults);

/// The router of DeepSeek V3 and of those who took it over: sigmoid scores of fp32 logits, a correction to choose with.
/// norm_topk_prob and routed_scaling_factor too; the groups are left to be read.
void read_corrected_router(RouterSpec& router, const JsonView& text, double scaling);

/// n_group and topk_group. @param group_best experts that make the worth of a group
/// @throws Error parse: experts do not divide into the groups, or the chosen groups have too few.
void read_groups(RouterSpec& router, const JsonView& text, std::int64_t groups, std::int64_t top_groups,
                 std::int64_t group_best);

/// n_shared_experts: so many in one network, that every token goes through.
void read_shared_experts(ExpertsSpec& experts, const JsonView& text, std::int64_t fallback);

/// Experts for all layers but the first `first_k_dense_replace`.
void place_later_experts(DecoderSpec& spec, const ExpertsSpec& experts, const JsonView& text, std::int64_t first);

/// Experts for the layers that the Qwen configurations name: every decoder_sparse_step-th but mlp_only_layers.
void place_qwen_experts(DecoderSpec& spec, const ExpertsSpec& experts, const JsonView& text);

/// Refuses a key that says something else than what transformers computes whatever the key says.
/// @throws Error unsupported
void require_value(const JsonView& text, const std::string& key, const Json& wanted);

}  // namespace autoround::model
