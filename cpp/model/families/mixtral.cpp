#include "model/families/experts_config.hpp"
#include "model/families/family.hpp"

namespace autoround::model {

DecoderSpec read_mixtral(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(
      config, {.class_prefix = "Mixtral", .kv_heads = 8, .max_position = 131072, .norm_eps = 1e-5, .rope_theta = 1e6});
  const JsonView text = config.text();
  ExpertsSpec experts = read_experts(text, {.experts = 8, .top_k = 2, .intermediate_key = "intermediate_size"});
  experts.router.normalize = true;
  experts.block = "block_sparse_moe";
  experts.gate_proj = "w1";
  experts.up_proj = "w3";
  experts.down_proj = "w2";
  experts.block_class = "MixtralSparseMoeBlock";
  experts.router_class = "MixtralTopKRouter";
  experts.experts_class = "MixtralExperts";
  for (LayerSpec& layer : spec.layers) layer.experts = experts;
  read_window(spec, text);
  return spec;
}

}  // namespace autoround::model
