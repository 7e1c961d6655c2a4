// The neutral tree that both syntaxes parse into and are written from: what TOML and YAML have in common, with the
// place of each part in the text. One reader and one writer know what a recipe means; the syntaxes do not.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.hpp"
#include "recipe/recipe.hpp"

namespace autoround::recipe {

struct Place {
  int line = 0;  // 1-based; 0 when the tree was not read from a text
  int column = 0;
};

struct Entry;

struct Node {
  enum class Kind { scalar, sequence, table };
  using Scalar = std::variant<std::monostate, bool, std::int64_t, double, std::string>;  // monostate is null

  Kind kind = Kind::scalar;
  Scalar scalar;
  std::vector<Node> items;     // of a sequence
  std::vector<Entry> entries;  // of a table, in the order of the text, no key twice
  Place place;

  bool is_null() const { return kind == Kind::scalar && std::holds_alternative<std::monostate>(scalar); }
  bool is_table() const { return kind == Kind::table; }
};

struct Entry {
  std::string key;
  Place place;  // of the key
  Node value;
};

/// Texts nest this deep at most.
inline constexpr int kMaxDepth = 32;

[[noreturn]] inline void fail_at(Place place, const std::string& file, const std::string& message,
                                 Code code = Code::parse) {
  throw Error(code, file, message, place.line, place.column);
}

/// @throws Error parse, subject = `file`, with line and column.
Node parse_toml(std::string_view text, const std::string& file);
Node parse_yaml(std::string_view text, const std::string& file);
std::string write_toml(const Node& table);
std::string write_yaml(const Node& table);

/// The tree's meaning. @throws Error parse or unsupported, subject = `file`, with line and column of the part at fault.
Recipe read_recipe(const Node& document, const std::string& file);
Node write_recipe(const Recipe& recipe);

}  // namespace autoround::recipe
