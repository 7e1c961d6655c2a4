// The part of the table of keys that sets schemes: `scheme` with its `weights.*`, and the same for single layers.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "recipe/keys.hpp"

namespace autoround::recipe {

/// `scheme` and `weights.*`, of the recipe or, with `layer`, of one layer: `layers.LAYER.scheme`.
Key scheme_key(const std::optional<std::string>& layer = std::nullopt);
std::vector<Key> weights_keys(const std::optional<std::string>& layer = std::nullopt);

/// The key of one layer that `name` spells, "layers.lm_head.scheme"; nullopt when it spells none.
std::optional<Key> find_layer_key(std::string_view name);

/// The scheme of one layer; null when it has none of its own.
const QuantizationScheme* layer_scheme(const Recipe& recipe, const std::string& layer);
void set_layer_scheme(Recipe& recipe, const std::string& layer, QuantizationScheme scheme);

}  // namespace autoround::recipe
