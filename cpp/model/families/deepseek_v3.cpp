#include "model/families/experts_config.hpp"
#include "model/families/family.hpp"
#include "model/families/latent_config.hpp"

namespace autoround::model {

// The layer after the last one predicts further tokens; it is no part of this model and passes through.
DecoderSpec read_deepseek_v3(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(config, {.class_prefix = "DeepseekV3",
                                            .head_dim = default_rope_dim,
                                            .max_position = 4096,
                                            .head_dim_key = "qk_rope_head_dim"});
  const JsonView text = config.text();
  require_value(text, "topk_method", "noaux_tc");
  require_value(text, "scoring_func", "sigmoid");
  require_value(text, "moe_layer_freq", 1);
  read_latent_attention(spec, config, text.boolean_or("rope_interleave", true));

  ExpertsSpec experts = read_experts(text, {.experts = 256, .intermediate = 2048, .top_k = 8});
  read_corrected_router(experts.router, text, /*scaling=*/2.5);
  read_groups(experts.router, text, /*groups=*/8, /*top_groups=*/4, /*group_best=*/2);
  read_shared_experts(experts, text, 1);
  experts.block_class = "DeepseekV3MoE";
  experts.router_class = "DeepseekV3TopkRouter";
  experts.experts_class = "DeepseekV3Experts";
  place_later_experts(spec, experts, text, /*first=*/3);
  return spec;
}

}  // namespace autoround::model
