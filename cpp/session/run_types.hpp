// Number types of a run: in which weights and activations are computed, and in which scales are stored.
#pragma once

#include <string>

#include "recipe/recipe.hpp"
#include "session/model.hpp"
#include "session/options.hpp"

namespace autoround::session {

/// The host's choice, or what this CPU multiplies in hardware.
at::ScalarType compute_type(const Options& options);
/// The first output's format; without an output, the default one: what it would store decides how tensors are tuned.
const std::string& leading_format(const Options& options);
/// @throws Error invalid_argument: the outputs store scales in different types and the recipe does not settle it
at::ScalarType scale_type(const Model& model, const recipe::Recipe& recipe, const Options& options);

}  // namespace autoround::session
