#include <algorithm>

#include "model/families/experts_config.hpp"
#include "model/families/family.hpp"

namespace autoround::model {

DecoderSpec read_qwen2_moe(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(config, {.class_prefix = "Qwen2Moe", .kv_heads = 16, .max_position = 32768});
  const JsonView text = config.text();
  const bool qkv_bias = text.boolean_or("qkv_bias", true);
  for (LayerSpec& layer : spec.layers) layer.attention.qkv_bias = qkv_bias;

  // Without layer_types every other one of the first layers has a window.
  if (text.has("layer_types")) {
    read_window_layers(spec, text);
  } else if (text.boolean_or("use_sliding_window", false)) {
    const std::int64_t window = text.integer_or("sliding_window", 4096, 1, max_positions);
    const auto last = static_cast<std::size_t>(text.integer_or("max_window_layers", 28, 0, max_positions));
    for (std::size_t i = 0; i < std::min(last, spec.layers.size()); i += 2) spec.layers[i].attention.window = window;
  }

  ExpertsSpec experts = read_experts(text, {.experts = 60, .intermediate = 1408, .top_k = 4});
  experts.router.normalize = text.boolean_or("norm_topk_prob", false);
  experts.router.rounded = true;
  experts.shared = "shared_expert";
  experts.shared_intermediate = text.integer_or("shared_expert_intermediate_size", 5632, 1, max_positions);
  experts.shared_gate = true;
  experts.block_class = "Qwen2MoeSparseMoeBlock";
  experts.router_class = "Qwen2MoeTopKRouter";
  experts.experts_class = "Qwen2MoeExperts";
  place_qwen_experts(spec, experts, text);
  return spec;
}

}  // namespace autoround::model
