// Causal attention of LibTorch's operations, for where no kernel fuses it: a block of queries at a time, computed again
// in the backward pass, so that scores of all queries are never there together.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/spec.hpp"

namespace autoround::model {

/// Queries that are handled at once: bounds the scores to [B, heads, query_block, S] and skips the keys that none of
/// them sees.
inline constexpr std::int64_t query_block = 256;

/// Scores of a head in the block that has most of them.
std::int64_t most_scores(const AttentionSpec& spec, std::int64_t length);

/// Scores and softmax in fp32, probabilities rounded to the type of v before they meet it: the roundings of the
/// attention that transformers runs by default.
/// @param q [B, heads, S, D]
/// @param k,v [B, kv_heads, S, D]
/// @param sinks [heads] when spec.sinks: no gradient is computed for them
/// -> [B*S, heads * D]
at::Tensor blocked_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& sinks,
                             const AttentionSpec& spec);

}  // namespace autoround::model
