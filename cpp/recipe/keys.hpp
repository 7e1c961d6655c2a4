// The one table of recipe keys: name, type, help, how to read and how to set. Parsers, autoround_recipe_set_*, dump, the
// command line's help and the docs all walk this table.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "recipe/recipe.hpp"

namespace autoround::recipe {

using Value = std::variant<std::string, std::int64_t, double, bool, std::vector<std::string>>;

struct Key {
  std::string name;  // "iters", "scheme", "weights.group_size" ...
  std::string help;  // one line: meaning, unit, range, default
  std::function<void(Recipe&, const Value&)> set;  // @throws Error invalid_argument: wrong type or out of range
  std::function<std::string(const Recipe&)> get;   // text form; "" when unset
};

const std::vector<Key>& keys();
/// @throws Error invalid_argument, subject = the key, with the nearest name
const Key& find_key(std::string_view name);
void set_value(Recipe& recipe, std::string_view key, const Value& value);
void append_value(Recipe& recipe, std::string_view key, const std::string& value);  // list keys: "ignore", "targets"
std::string get_value(const Recipe& recipe, std::string_view key);

}  // namespace autoround::recipe
