// What customizes a TinyBlock to layers of other families.
#pragma once

#include <vector>

#include "model/spec.hpp"

namespace autoround::tuner::test {

struct LayerKind {
  const char* name;
  void (*customize)(model::DecoderSpec&);
};

/// Layers that share little with llama's.
inline const std::vector<LayerKind> layer_kinds = {
    {"four norms, 1 + weight, limited scores",
     [](model::DecoderSpec& spec) {
       spec.norm = {.wide = true, .unit_offset = true};
       spec.names.attention_output_norm = "post_attention_layernorm";
       spec.names.mlp_input_norm = "pre_feedforward_layernorm";
       spec.names.mlp_output_norm = "post_feedforward_layernorm";
       spec.layers[0].mlp.activation = model::Activation::gelu_tanh;
       spec.layers[0].attention.qk_norm = model::QkNorm::head;
       spec.layers[0].attention.softcap = 2.0;
       spec.layers[0].attention.window = 5;
     }},
    {"parallel branches off two layer norms, q, k and v by head, no gate",
     [](model::DecoderSpec& spec) {
       spec.norm = {.kind = model::NormKind::layer, .bias = true};
       model::LayerSpec& layer = spec.layers[0];
       layer.parallel = true;
       layer.attention.kv_heads = layer.attention.heads;
       layer.attention.fused_qkv = layer.attention.qkv_by_head = true;
       layer.attention.qkv_bias = layer.attention.out_bias = layer.mlp.bias = true;
       layer.attention.rope->rotary_dim = 4;
       layer.mlp.gated = false;
       layer.mlp.activation = model::Activation::gelu;
     }},
    {"parallel branches off one norm, neighbours rotated",
     [](model::DecoderSpec& spec) {
       spec.norm = {.kind = model::NormKind::layer};
       spec.names.mlp_input_norm = "";
       spec.layers[0].parallel = true;
       spec.layers[0].attention.rope->interleaved = true;
       spec.layers[0].attention.qk_norm = model::QkNorm::heads;
     }},
    {"norms of what the branches give, q and k normed whole",
     [](model::DecoderSpec& spec) {
       spec.norm.wide = true;
       spec.names.attention_input_norm = spec.names.mlp_input_norm = "";
       spec.names.attention_output_norm = "post_attention_layernorm";
       spec.names.mlp_output_norm = "post_feedforward_layernorm";
       spec.layers[0].attention.qk_norm = model::QkNorm::whole;
     }},
    {"norms of the sums, no positions",
     [](model::DecoderSpec& spec) {
       spec.norm = {.kind = model::NormKind::layer, .bias = true};
       spec.names.attention_input_norm = spec.names.mlp_input_norm = "";
       spec.names.attention_sum_norm = "self_attn_layer_norm";
       spec.names.mlp_sum_norm = "final_layer_norm";
       spec.layers[0].attention.rope.reset();
       spec.layers[0].mlp.gated = false;
       spec.layers[0].mlp.activation = model::Activation::relu;
     }},
};

}  // namespace autoround::tuner::test
