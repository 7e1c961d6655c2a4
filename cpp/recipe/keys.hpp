// The one table of recipe keys: name, type, help, how to read and how to set. Parsers, autoround_recipe_set_*, dump,
// the command line's help and the docs all walk this table.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "recipe/recipe.hpp"
#include "recipe/value.hpp"

namespace autoround::recipe {

struct Key {
  using Setter = std::function<void(Recipe&, const Value&)>;
  using Getter = std::function<std::optional<Value>(const Recipe&)>;

  std::string name;                               // "iters", "scheme", "weights.group_size" ...
  std::string help;                               // one line: meaning, unit, range, default
  Setter set;                                     // @throws Error invalid_argument: wrong type or out of range
  std::function<std::string(const Recipe&)> get;  // text form; "" when unset; a list has one element a line
  Getter value;                                   // typed form of get; nullopt when unset
  bool nullable = false;                          // a recipe text may say null, which means unset
};
Key make_key(std::string name, std::string help, Key::Setter set, Key::Getter value, bool nullable = false);

/// Keys that a recipe text and the setters share. Those with a dot, "weights.group_size", change one argument of
/// `scheme` and exist for setters and command lines; a text writes them inside `scheme`. In "layers.NAME.scheme" and
/// its neighbours NAME stands for any module name or `re:` pattern; a text has a table `layers` for them.
const std::vector<Key>& keys();

/// Fields of Python recipes that change nothing here and are accepted so that those recipes run unmodified.
struct InformationalKey {
  std::string name;
  std::string reason;                            // why nothing is lost, in one line
  std::function<bool(const Value*)> is_neutral;  // nullptr stands for null; false makes the recipe an error
};
const std::vector<InformationalKey>& informational_keys();

/// @throws Error invalid_argument, subject = the key, with the nearest name
Key find_key(std::string_view name);
/// @throws Error invalid_argument, subject = the key: unknown, wrong type or out of range. parse: an invalid pattern.
void set_value(Recipe& recipe, std::string_view key, const Value& value);
void append_value(Recipe& recipe, std::string_view key, const std::string& value);  // list keys: "ignore", "targets"
std::string get_value(const Recipe& recipe, std::string_view key);

}  // namespace autoround::recipe
