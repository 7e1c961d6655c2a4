// What the DeepSeek families share: latent attention.
#pragma once

#include "model/families/skeleton.hpp"

namespace autoround::model {

/// How transformers' configuration classes fill in keys that config.json lacks; they agree.
inline constexpr std::int64_t default_rope_dim = 64;

/// Gives all layers of a skeleton, whose heads are the rotated parts (`qk_rope_head_dim`), latent attention.
/// @throws Error parse: a value is out of range.
void read_latent_attention(DecoderSpec& spec, const checkpoint::HfConfig& config, bool interleaved);

}  // namespace autoround::model
