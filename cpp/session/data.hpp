// Calibration data against a model: what a run checks and says about it before it starts.
#pragma once

#include "calibration/sample_set.hpp"
#include "recipe/recipe.hpp"

namespace autoround::session {

/// @throws Error invalid_argument: an id outside the vocabulary, with its sample and place
void check_token_ids(const calibration::SampleSet& data, std::size_t samples, std::int64_t vocab_size);

/// One line: how many samples and tokens are used, how many were given, how much is padding.
void log_data(const calibration::SampleSet& data, std::size_t samples, const recipe::Recipe& recipe, const Logger& log);

/// Real tokens of the first `samples` samples.
std::int64_t real_tokens(const calibration::SampleSet& data, std::size_t samples);

}  // namespace autoround::session
