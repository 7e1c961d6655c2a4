#include "recipe/scheme_keys.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "recipe/args_fields.hpp"
#include "recipe/matching.hpp"

namespace autoround::recipe {
namespace {

using Layer = std::optional<std::string>;

const std::string kLayers = "layers.";

std::string key_name(const Layer& layer, const std::string& name) {
  return layer ? kLayers + *layer + "." + name : name;
}

const QuantizationScheme* find_scheme(const Recipe& recipe, const Layer& layer) {
  if (layer) return layer_scheme(recipe, *layer);
  return recipe.scheme ? &*recipe.scheme : nullptr;
}

void put_scheme(Recipe& recipe, const Layer& layer, QuantizationScheme scheme) {
  if (layer)
    set_layer_scheme(recipe, *layer, std::move(scheme));
  else
    recipe.scheme = std::move(scheme);
}

/// Keeps strategy, group_size and block_structure in step with the one of them that was just set.
void settle(QuantizationArgs& args, std::string_view changed) {
  if (changed == "group_size") {
    if (*args.group_size == -1) {
      args.strategy = Strategy::channel;
    } else if (args.strategy != Strategy::tensor_group) {
      args.strategy = Strategy::group;
    }
    args.block_structure.reset();
  }
  if (changed == "strategy") {
    const bool grouped = args.strategy == Strategy::group || args.strategy == Strategy::tensor_group;
    if (!grouped) args.group_size.reset();
    if (grouped && args.group_size.value_or(-1) == -1) args.group_size = 128;
    args.block_structure.reset();
    if (args.strategy == Strategy::block) args.block_structure = {128, 128};
  }
}

/// A layer without a scheme of its own starts from the recipe's.
QuantizationScheme scheme_to_change(const Recipe& recipe, const Layer& layer, const std::string& key) {
  if (!layer && !recipe.config_groups.empty()) {
    fail(Code::invalid_argument, key,
         "changes `scheme`, but this recipe has config_groups: set it in each group's weights");
  }
  const QuantizationScheme* found = find_scheme(recipe, layer);
  if (!found) found = find_scheme(recipe, std::nullopt);
  return found ? *found : QuantizationScheme{};
}

Key weights_key(const Layer& layer, const std::string& field_name) {
  const ArgsField& field = args_field(field_name);
  const std::string name = key_name(layer, "weights." + field_name);
  const std::string whose = layer ? "of the layer's weights (as in scheme when it has none of its own): "
                                  : "of scheme's weights (int4 group 128 when there is no scheme): ";
  return make_key(
      name, whose + field.help,
      [&field, layer, name](Recipe& recipe, const Value& value) {
        QuantizationScheme scheme = scheme_to_change(recipe, layer, name);
        QuantizationArgs weights = scheme.weights ? *scheme.weights : *preset_scheme("W4A16").weights;
        field.set(weights, value, name);
        settle(weights, field.name);
        scheme.weights = weights;
        scheme.preset.clear();
        put_scheme(recipe, layer, std::move(scheme));
      },
      [&field, layer](const Recipe& recipe) {
        const QuantizationScheme* scheme = find_scheme(recipe, layer);
        return scheme && scheme->weights ? field.get(*scheme->weights) : std::nullopt;
      });
}

}  // namespace

Key scheme_key(const Layer& layer) {
  const std::string name = key_name(layer, "scheme");
  return make_key(
      name,
      layer ? "a scheme for one layer, NAME a module name or re: pattern: a preset name; goes before groups, targets "
              "and ignore; default none"
            : "one scheme for all targets: a preset name such as W4A16; default none, required unless config_groups is "
              "given",
      [layer, name](Recipe& recipe, const Value& value) {
        put_scheme(recipe, layer, preset_scheme(to_string(value, name), name));
      },
      [layer](const Recipe& recipe) {
        const QuantizationScheme* scheme = find_scheme(recipe, layer);
        return scheme ? std::optional<Value>(describe(*scheme)) : std::nullopt;
      },
      true);
}

std::vector<Key> weights_keys(const Layer& layer) {
  std::vector<Key> keys;
  for (const char* field : {"num_bits", "group_size", "symmetric", "strategy", "type"})
    keys.push_back(weights_key(layer, field));
  return keys;
}

/// Names of modules have dots of their own, so the key is found from both ends.
std::optional<Key> find_layer_key(std::string_view name) {
  if (name.rfind(kLayers, 0) != 0) return std::nullopt;
  const std::string_view rest = name.substr(kLayers.size());
  for (std::size_t dot = rest.rfind('.'); dot != 0 && dot != std::string_view::npos; dot = rest.rfind('.', dot - 1)) {
    const Layer layer = std::string(rest.substr(0, dot));
    if (rest.substr(dot) == ".scheme") return scheme_key(layer);
    for (Key& key : weights_keys(layer))
      if (key.name == name) return std::move(key);
  }
  return std::nullopt;
}

const QuantizationScheme* layer_scheme(const Recipe& recipe, const std::string& layer) {
  const auto found =
      std::find_if(recipe.layers.begin(), recipe.layers.end(), [&](const auto& entry) { return entry.first == layer; });
  return found == recipe.layers.end() ? nullptr : &found->second;
}

void set_layer_scheme(Recipe& recipe, const std::string& layer, QuantizationScheme scheme) {
  check_target(layer);
  const auto found =
      std::find_if(recipe.layers.begin(), recipe.layers.end(), [&](const auto& entry) { return entry.first == layer; });
  if (found == recipe.layers.end())
    recipe.layers.emplace_back(layer, std::move(scheme));
  else
    found->second = std::move(scheme);
}

}  // namespace autoround::recipe
