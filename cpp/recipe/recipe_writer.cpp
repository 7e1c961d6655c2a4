// From a Recipe to the neutral tree, in the shape that llm-compressor writes: default_stage, default_modifiers. Every
// field is written, defaults too, so that the recipe beside an output says all that made it.
#include <algorithm>

#include "recipe/keys.hpp"
#include "recipe/node.hpp"
#include "recipe/scheme_tree.hpp"

namespace autoround::recipe {
namespace {

Node table() {
  Node node;
  node.kind = Node::Kind::table;
  return node;
}

Node wrap(const std::string& key, Node value) {
  Node node = table();
  node.entries.push_back({key, {}, std::move(value)});
  return node;
}

/// Presets are written by name as long as they still are what the name says.
bool is_preset(const QuantizationScheme& scheme) {
  if (scheme.preset.empty()) return false;
  QuantizationScheme named = preset_scheme(scheme.preset);
  named.targets = scheme.targets;
  return named == scheme;
}

/// A group that is called as its preset is written `W4A16: [targets]`.
bool same_name(const std::string& group, const std::string& preset) {
  return std::equal(group.begin(), group.end(), preset.begin(), preset.end(),
                    [](char a, char b) { return a == b || (a >= 'a' && a <= 'z' && a - 'a' + 'A' == b); });
}

Node write_groups(const Recipe& recipe) {
  Node groups = table();
  for (const auto& [name, scheme] : recipe.config_groups) {
    const bool by_name = is_preset(scheme) && same_name(name, scheme.preset);
    groups.entries.push_back(
        {name, {}, by_name ? to_node(Value(scheme.targets)) : write_scheme(scheme, Targets::required)});
  }
  return groups;
}

Node write_layers(const Recipe& recipe) {
  Node layers = table();
  for (const auto& [name, scheme] : recipe.layers) {
    Node written = is_preset(scheme) ? to_node(Value(scheme.preset)) : write_scheme(scheme, Targets::forbidden);
    layers.entries.push_back({name, {}, wrap("scheme", std::move(written))});
  }
  return layers;
}

}  // namespace

Node write_recipe(const Recipe& recipe) {
  const bool scheme_by_table = recipe.scheme && !is_preset(*recipe.scheme);
  Node fields = table();
  for (const auto& key : keys()) {
    if (key.name.find('.') != std::string::npos || (key.name == "scheme" && scheme_by_table)) continue;
    if (const auto value = key.value(recipe)) fields.entries.push_back({key.name, {}, to_node(*value)});
  }
  if (scheme_by_table) fields.entries.push_back({"scheme", {}, write_scheme(*recipe.scheme, Targets::forbidden)});
  if (!recipe.config_groups.empty()) fields.entries.push_back({"config_groups", {}, write_groups(recipe)});
  if (!recipe.layers.empty()) fields.entries.push_back({"layers", {}, write_layers(recipe)});
  if (recipe.kv_cache_scheme) fields.entries.push_back({"kv_cache_scheme", {}, write_args(recipe.kv_cache_scheme)});
  return wrap("default_stage", wrap("default_modifiers", wrap("AutoRoundModifier", std::move(fields))));
}

}  // namespace autoround::recipe
