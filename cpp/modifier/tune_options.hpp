// The keys of a recipe that say how a block is tuned, as the tuner knows them.
#pragma once

#include "recipe/recipe.hpp"
#include "tuner/block_tuner.hpp"

namespace autoround::modifier {

/// @param micro_batch samples of a pass
tuner::TuneOptions tune_options(const recipe::Recipe& recipe, std::int64_t micro_batch, bool deterministic = true);

/// @throws Error unsupported: `enable_alg_ext` where the scheme of `linear` has no scales that can be searched,
/// `momentum` where its steps cannot have any.
void check_tuning(const recipe::Recipe& recipe, const std::string& linear, const recipe::QuantizationScheme& scheme,
                  const quant::WeightFormat& format);

}  // namespace autoround::modifier
