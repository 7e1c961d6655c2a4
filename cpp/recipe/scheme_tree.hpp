// Schemes and arguments between the neutral tree and their types.
#pragma once

#include <optional>
#include <string>

#include "recipe/args_fields.hpp"
#include "recipe/node.hpp"

namespace autoround::recipe {

/// Where a node is, for errors: the file and the path of keys that leads to it.
struct Where {
  const std::string& file;
  std::string path;

  Where at(const std::string& key) const { return {file, path.empty() ? key : path + "." + key}; }
  /// Throws Error parse at `place`: "`path`: message".
  [[noreturn]] void fail(Place place, const std::string& message) const;
};

/// A scalar or a list of strings as a Value; nullopt for null. Tables and mixed lists are errors.
std::optional<Value> read_value(const Node& node, const Where& where);
/// Runs `set`, giving its errors the place and path of the node.
void set_at(const Node& node, const Where& where, const std::function<void()>& set);

std::optional<QuantizationArgs> read_args(const Node& node, Role role, const Where& where);
enum class Targets { required, forbidden };
QuantizationScheme read_scheme(const Node& table, Targets targets, const Where& where);
/// A list of target patterns, or one.
std::vector<std::string> read_targets(const Node& node, const Where& where);
/// True when `key` is a field of a scheme, as opposed to the name of a preset.
bool is_scheme_field(const std::string& key);

Node to_node(const Value& value);
Node write_args(const std::optional<QuantizationArgs>& args);
Node write_scheme(const QuantizationScheme& scheme, Targets targets);

}  // namespace autoround::recipe
