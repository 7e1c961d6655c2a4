#include "model/families/experts_config.hpp"
#include "model/families/family.hpp"

namespace autoround::model {

DecoderSpec read_qwen3_moe(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(config, {.class_prefix = "Qwen3Moe", .kv_heads = 4, .max_position = 32768});
  const JsonView text = config.text();
  const bool attention_bias = text.boolean_or("attention_bias", false);
  const bool windowed = text.boolean_or("use_sliding_window", false) &&
                        (text.has("sliding_window") || !text.json().contains("sliding_window"));
  const std::int64_t window = windowed ? text.integer_or("sliding_window", 4096, 1, max_positions) : 0;
  for (LayerSpec& layer : spec.layers) {
    layer.attention.qkv_bias = layer.attention.out_bias = attention_bias;
    layer.attention.qk_norm = QkNorm::head;
    layer.attention.window = window;
  }

  ExpertsSpec experts = read_experts(text, {.experts = 128, .intermediate = 768, .top_k = 8});
  experts.router.normalize = text.boolean_or("norm_topk_prob", false);
  experts.router.rounded = true;
  experts.block_class = "Qwen3MoeSparseMoeBlock";
  experts.router_class = "Qwen3MoeTopKRouter";
  experts.experts_class = "Qwen3MoeExperts";
  place_qwen_experts(spec, experts, text);
  return spec;
}

}  // namespace autoround::model
