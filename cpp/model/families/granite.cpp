#include "base/error.hpp"
#include "base/text.hpp"
#include "model/families/family.hpp"
#include "model/families/skeleton.hpp"

namespace autoround::model {
namespace {

double multiplier(const JsonView& text, const std::string& key) {
  const double value = text.number_or(key, 1.0);
  if (!(value > 0.0))
    fail(Code::parse, text.subject(), "`" + key + "` is " + format_number(value) + "; it must be greater than 0");
  return value;
}

}  // namespace

DecoderSpec read_granite(const checkpoint::HfConfig& config) {
  DecoderSpec spec = read_skeleton(config, {.class_prefix = "Granite"});
  const JsonView text = config.text();
  spec.embedding_multiplier = multiplier(text, "embedding_multiplier");
  spec.logits_scaling = multiplier(text, "logits_scaling");
  for (LayerSpec& layer : spec.layers) {
    layer.residual_multiplier = multiplier(text, "residual_multiplier");
    layer.attention.scale = multiplier(text, "attention_multiplier");
    layer.attention.qkv_bias = layer.attention.out_bias = text.boolean_or("attention_bias", false);
    layer.mlp.bias = text.boolean_or("mlp_bias", false);
  }
  return spec;
}

}  // namespace autoround::model
