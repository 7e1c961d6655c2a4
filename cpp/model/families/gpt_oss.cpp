#include "base/error.hpp"
#include "model/families/experts_config.hpp"
#include "model/families/family.hpp"

namespace autoround::model {
DecoderSpec read_gpt_oss(const checkpoint::HfConfig& config) {
  const JsonView text = config.text();
  if (!text.has("rope_parameters") && !text.has("rope_scaling"))
    fail(Code::unsupported, text.subject(), "gpt_oss models without `rope_parameters` or `rope_scaling` are not known");
  require_value(text, "swiglu_limit", 7.0);
  DecoderSpec spec = read_skeleton(config, {.class_prefix = "GptOss",
                                            .kv_heads = 8,
                                            .head_dim = 64,
                                            .max_position = 131072,
                                            .norm_eps = 1e-5,
                                            .rope_theta = 150000.0});
  ExpertsSpec experts =
      read_experts(text, {.experts = 128, .intermediate = 2880, .top_k = 4, .intermediate_key = "intermediate_size"});
  experts.router.scores = RouterSpec::Scores::softmax_of_chosen;
  experts.router.bias = true;
  experts.router.rounded = true;
  experts.stacked = true;
  experts.gate = "router";
  experts.block_class = "GptOssMLP";
  experts.router_class = "GptOssTopKRouter";
  experts.experts_class = "GptOssExperts";
  const bool bias = text.boolean_or("attention_bias", true);
  for (LayerSpec& layer : spec.layers) {
    layer.attention.qkv_bias = layer.attention.out_bias = bias;
    layer.attention.sinks = true;
    layer.mlp.activation = Activation::clamped_swiglu;
    layer.experts = experts;
  }
  spec.norm.wide = true;
  read_window_pattern(spec, text, /*interval=*/2, /*fallback=*/128);
  return spec;
}

}  // namespace autoround::model
