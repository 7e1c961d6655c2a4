#include "model/families/experts_config.hpp"
#include "model/families/family.hpp"

namespace autoround::model {

// The layer after the last one predicts further tokens; it is no part of this model and passes through.
DecoderSpec read_glm4_moe(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(
      config,
      {.class_prefix = "Glm4Moe", .kv_heads = 8, .max_position = 131072, .norm_eps = 1e-5, .partial_rotary = 0.5});
  const JsonView text = config.text();
  const bool attention_bias = text.boolean_or("attention_bias", false);
  const QkNorm qk_norm = text.boolean_or("use_qk_norm", false) ? QkNorm::head : QkNorm::none;
  for (LayerSpec& layer : spec.layers) {
    layer.attention.qkv_bias = attention_bias;
    layer.attention.qk_norm = qk_norm;
  }

  ExpertsSpec experts = read_experts(text, {.experts = 128, .intermediate = 1408, .top_k = 8});
  read_corrected_router(experts.router, text, /*scaling=*/1.0);
  read_groups(experts.router, text, /*groups=*/1, /*top_groups=*/1, /*group_best=*/2);
  read_shared_experts(experts, text, 1);
  experts.block_class = "Glm4MoeMoE";
  experts.router_class = "Glm4MoeTopkRouter";
  experts.experts_class = "Glm4MoeExperts";
  place_later_experts(spec, experts, text, /*first=*/1);
  return spec;
}

}  // namespace autoround::model
