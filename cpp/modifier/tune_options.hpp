// The keys of a recipe that say how a block is tuned, as the tuner knows them.
#pragma once

#include "recipe/recipe.hpp"
#include "tuner/block_tuner.hpp"

namespace autoround::modifier {

tuner::TuneOptions tune_options(const recipe::Recipe& recipe);

}  // namespace autoround::modifier
