// How much work tuning is, by name: what auto-round's commands auto-round-light, auto-round and auto-round-best run.
#pragma once

#include <string>

#include "recipe/recipe.hpp"

namespace autoround::recipe {

/// Sets recipe.preset and, of the keys it covers, those that were not given.
/// @param name "light", "default", "best" @throws Error invalid_argument: no such preset
void apply_tuning_preset(Recipe& recipe, const std::string& name);

}  // namespace autoround::recipe
