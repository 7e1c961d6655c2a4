#include "base/error.hpp"
#include "base/text.hpp"
#include "model/families/experts_config.hpp"
#include "model/families/family.hpp"
#include "model/families/latent_config.hpp"

namespace autoround::model {

DecoderSpec read_deepseek_v2(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(
      config, {.class_prefix = "DeepseekV2", .head_dim = default_rope_dim, .head_dim_key = "qk_rope_head_dim"});
  const JsonView text = config.text();
  require_value(text, "norm_topk_prob", false);
  require_value(text, "scoring_func", "softmax");
  require_value(text, "moe_layer_freq", 1);
  read_latent_attention(spec, config, /*interleaved=*/true);
  const bool mlp_bias = text.boolean_or("mlp_bias", false);
  for (LayerSpec& layer : spec.layers) layer.mlp.bias = mlp_bias;

  ExpertsSpec experts = read_experts(text, {.experts = 64, .intermediate = 1407});
  RouterSpec& router = experts.router;
  router.wide = true;
  router.scaling = text.number_or("routed_scaling_factor", 1.0);
  const std::string method = text.string_or("topk_method", "greedy");
  if (method == "group_limited_greedy") {
    read_groups(router, text, /*groups=*/1, /*top_groups=*/1, /*group_best=*/1);
  } else if (method != "greedy") {
    fail(Code::unsupported, text.subject(),
         "`topk_method` is " + quote(method) + "; supported are greedy and group_limited_greedy");
  }
  read_shared_experts(experts, text, 2);
  experts.block_class = "DeepseekV2Moe";
  experts.router_class = "DeepseekV2TopkRouter";
  experts.experts_class = "DeepseekV2Experts";
  place_later_experts(spec, experts, text, /*first=*/0);
  return spec;
}

}  // namespace autoround::model
