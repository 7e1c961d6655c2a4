// What operations work in beside what a token has: the scores of attention that no kernel fuses, and what each thread
// has for itself. Part of the prediction of memory.
#pragma once

#include <algorithm>
#include <cstdint>

#include "recipe/recipe.hpp"
#include "session/predict.hpp"

namespace autoround::session {

inline bool tunes(const recipe::Recipe& recipe, const RunShape& shape) { return recipe.iters > 0 && shape.samples > 0; }

/// Whose gradients make one step.
inline std::int64_t step_samples(const recipe::Recipe& recipe, const RunShape& shape) {
  return std::min(shape.samples, recipe.batch_size * recipe.gradient_accumulate_steps);
}

/// Bytes of a micro-batch, in the block that needs most.
struct ScoreBytes {
  std::int64_t trained = 0;  // from the forward to the backward pass, and what both make beside it
  std::int64_t passed = 0;   // without gradients
};
/// Of attention where it is AtenOps', of blocks of so many layers. Elsewhere none.
ScoreBytes score_bytes(const model::DecoderSpec& spec, const recipe::Recipe& recipe, const RunShape& shape,
                       std::int64_t layers, std::int64_t samples);

/// Bytes of all threads of a host: what they lay out of attention that a kernel fuses, what they pack of products, and
/// their own.
std::int64_t thread_bytes(const model::DecoderSpec& spec, const recipe::Recipe& recipe, const RunShape& shape,
                          std::int64_t samples);
/// The same for one linear.
std::int64_t thread_bytes(std::int64_t out, std::int64_t in, const recipe::Recipe& recipe, const RunShape& shape,
                          std::int64_t samples);

}  // namespace autoround::session
