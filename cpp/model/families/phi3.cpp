#include "model/families/family.hpp"
#include "model/families/skeleton.hpp"

namespace autoround::model {

DecoderSpec read_phi3(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(config, {.class_prefix = "Phi3",
                                            .max_position = 4096,
                                            .original_max_position = 4096,
                                            .norm_eps = 1e-5,
                                            .partial_rotary = 1.0,
                                            .yarn_is_longrope = true});
  spec.names.activation = "activation_fn";
  read_window(spec, config.text());
  for (LayerSpec& layer : spec.layers) {
    layer.attention.fused_qkv = true;
    layer.mlp.fused_gate_up = true;
  }
  return spec;
}

}  // namespace autoround::model
