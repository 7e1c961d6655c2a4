// What a run will need, from shapes alone: memory by the sum of what is alive at its peak, time by the arithmetic of the
// tuning loop over a speed measured on the spot.
#pragma once

#include <cstdint>

#include "model/spec.hpp"
#include "recipe/recipe.hpp"

namespace autoround::session {

struct RunShape {
  std::int64_t samples = 0, length = 0;
  std::int64_t element_bytes = 2;        // of weights and activations while computing
  std::int64_t tuned_weights = 0;        // of the largest block
  std::int64_t tuned_weights_total = 0;  // of all blocks
};

struct Prediction {
  std::uint64_t memory_bytes = 0;  // high-water mark of the process
  double seconds = 0.0;
};

Prediction predict(const model::DecoderSpec& spec, const recipe::Recipe& recipe, const RunShape& shape);

/// Multiply-adds per second x 2 of a matrix product of this model's width, measured in about a tenth of a second.
double measured_flops(std::int64_t width, std::int64_t element_bytes);

}  // namespace autoround::session
