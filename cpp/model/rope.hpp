// What rotary position tables are made of, for those who write a model down instead of running it.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/spec.hpp"

namespace autoround::model {

/// Angles of the rotated pairs at position 1 in a sequence of `length` tokens. fp32 [rotary_dim / 2]
at::Tensor rope_frequencies(const RopeSpec& spec, std::int64_t length);
/// What cos and sin are multiplied with.
double rope_attention_factor(const RopeSpec& spec);

}  // namespace autoround::model
