#include "model/families/latent_config.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace autoround::model {
namespace {

constexpr std::int64_t max_width = std::int64_t{1} << 20;

/// YaRN lengthens the logits as well where `mscale_all_dim` asks for it.
double scale_of_logits(const checkpoint::HfConfig& config, std::int64_t width) {
  const double scale = std::pow(static_cast<double>(width), -0.5);
  const Json parameters = config.rope_parameters();
  const JsonView rope(parameters, config.view().subject() + ": rope parameters");
  const double all_dim = rope.number_or("mscale_all_dim", 0.0), factor = rope.number_or("factor", 1.0);
  if (rope.string_or("rope_type", "default") == "default" || all_dim == 0.0 || factor <= 1.0) return scale;
  const double mscale = 0.1 * all_dim * std::log(factor) + 1.0;
  return scale * mscale * mscale;
}

}  // namespace

void read_latent_attention(DecoderSpec& spec, const checkpoint::HfConfig& config, bool interleaved) {
  const JsonView text = config.text();
  AttentionSpec attention = spec.layers.front().attention;
  if (attention.kv_heads != attention.heads)
    fail(Code::parse, text.subject(),
         "`num_key_value_heads` is " + std::to_string(attention.kv_heads) +
             "; with latent attention it must equal `num_attention_heads`, which is " +
             std::to_string(attention.heads));
  LatentSpec latent;
  const bool reduced = text.has("q_lora_rank") || !text.json().contains("q_lora_rank");
  if (reduced) latent.q_rank = text.integer_or("q_lora_rank", 1536, 1, max_width);
  latent.kv_rank = text.integer_or("kv_lora_rank", 512, 1, max_width);
  latent.nope_dim = text.integer_or("qk_nope_head_dim", 128, 1, max_width);
  latent.value_dim = text.integer_or("v_head_dim", 128, 1, max_width);
  latent.rope_dim = attention.head_dim;
  latent.interleaved = interleaved;
  latent.bias = attention.out_bias = text.boolean_or("attention_bias", false);
  attention.head_dim = std::max(latent.nope_dim + latent.rope_dim, latent.value_dim);
  attention.scale = scale_of_logits(config, latent.nope_dim + latent.rope_dim);
  attention.latent = latent;
  for (LayerSpec& layer : spec.layers) layer.attention = attention;
}

}  // namespace autoround::model
