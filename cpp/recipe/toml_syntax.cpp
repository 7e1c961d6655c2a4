#include <toml++/toml.h>

#include <algorithm>

#include "base/text.hpp"
#include "recipe/node.hpp"

namespace autoround::recipe {
namespace {

Place place_of(const toml::source_region& region) {
  return {static_cast<int>(region.begin.line), static_cast<int>(region.begin.column)};
}

/// The parser nests one table for each part of a dotted key and frees them recursively, so a key of a million parts
/// would exhaust the stack. Walks over strings and comments, and counts the dots of each key.
class DottedKeyGuard {
 public:
  DottedKeyGuard(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  void check() {
    int dots = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        skip_string(c);
        continue;
      }
      if (c == '#') {
        skip_comment();
        continue;
      }
      if (c == '.') {
        if (++dots > kMaxDepth) fail_at(place(), file_, "a key of more than " + std::to_string(kMaxDepth) + " parts");
      } else if (c == '\n' || c == '=' || c == ',' || c == '{' || c == '[') {
        dots = 0;
      }
      ++at_;
    }
  }

 private:
  void skip_comment() { at_ = std::min(text_.find('\n', at_), text_.size()); }

  void skip_string(char quote) {
    const std::string triple(3, quote);
    const bool multiline = text_.substr(at_, 3) == triple;
    at_ += multiline ? 3 : 1;
    while (at_ < text_.size()) {
      if (quote == '"' && text_[at_] == '\\') {
        at_ += 2;
      } else if (multiline ? text_.substr(at_, 3) == triple : (text_[at_] == quote || text_[at_] == '\n')) {
        at_ += multiline ? 3 : 1;
        return;
      } else {
        ++at_;
      }
    }
  }

  Place place() const {
    const auto before = text_.substr(0, at_);
    const auto line_start = before.rfind('\n') + 1;  // npos + 1 is 0
    return {static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1,
            static_cast<int>(at_ - line_start) + 1};
  }

  std::string_view text_;
  const std::string& file_;
  std::size_t at_ = 0;
};

class TomlReader {
 public:
  explicit TomlReader(const std::string& file) : file_(file) {}

  Node read(const toml::node& source, int depth) const {
    Node node;
    node.place = place_of(source.source());
    if (depth > kMaxDepth) fail_at(node.place, file_, "nested deeper than " + std::to_string(kMaxDepth) + " levels");
    if (const auto* table = source.as_table()) {
      node.kind = Node::Kind::table;
      for (const auto& [key, value] : *table) {
        node.entries.push_back({std::string(key.str()), place_of(key.source()), read(value, depth + 1)});
      }
      restore_order(node.entries);
    } else if (const auto* array = source.as_array()) {
      node.kind = Node::Kind::sequence;
      for (const auto& item : *array) node.items.push_back(read(item, depth + 1));
    } else {
      node.scalar = scalar(source, node.place);
    }
    return node;
  }

 private:
  /// toml++ sorts tables by key; the order of config groups is the author's.
  static void restore_order(std::vector<Entry>& entries) {
    std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::pair(a.place.line, a.place.column) < std::pair(b.place.line, b.place.column);
    });
  }

  Node::Scalar scalar(const toml::node& source, Place place) const {
    if (const auto* text = source.as_string()) return text->get();
    if (const auto* integer = source.as_integer()) return integer->get();
    if (const auto* number = source.as_floating_point()) return number->get();
    if (const auto* flag = source.as_boolean()) return flag->get();
    fail_at(place, file_, "a date or time; recipes hold numbers, strings, booleans, lists and tables");
  }

  const std::string& file_;
};

std::string quoted(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      out += {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string key_text(const std::string& key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return bare ? key : quoted(key);
}

std::string value_text(const Node& node) {
  std::vector<std::string> parts;
  if (node.kind == Node::Kind::sequence) {
    for (const auto& item : node.items) parts.push_back(value_text(item));
    return "[" + join(parts, ", ") + "]";
  }
  if (node.is_table()) {
    for (const auto& [key, place, value] : node.entries) {
      if (!value.is_null()) parts.push_back(key_text(key) + " = " + value_text(value));
    }
    return "{" + join(parts, ", ") + "}";
  }
  if (const auto* text = std::get_if<std::string>(&node.scalar)) return quoted(*text);
  if (const auto* flag = std::get_if<bool>(&node.scalar)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<std::int64_t>(&node.scalar)) return std::to_string(*integer);
  return format_number(std::get<double>(node.scalar));
}

/// Values first, then a [header] for each table; a table that comes before a value is written inline, so that the order
/// stays. TOML has no null: an absent key means the same.
void write_table(const Node& table, const std::string& path, std::string& out) {
  const auto& entries = table.entries;
  const auto is_value = [](const Entry& entry) { return !entry.value.is_table() && !entry.value.is_null(); };
  const auto first_header = std::find_if(entries.rbegin(), entries.rend(), is_value).base();
  if (first_header != entries.begin() && !path.empty()) out += (out.empty() ? "[" : "\n[") + path + "]\n";
  for (auto entry = entries.begin(); entry != first_header; ++entry) {
    if (!entry->value.is_null()) out += key_text(entry->key) + " = " + value_text(entry->value) + "\n";
  }
  for (auto entry = first_header; entry != entries.end(); ++entry) {
    if (!entry->value.is_table()) continue;
    const std::string child = path.empty() ? key_text(entry->key) : path + "." + key_text(entry->key);
    const auto& inner = entry->value.entries;
    if (std::all_of(inner.begin(), inner.end(), [](const Entry& e) { return e.value.is_null(); })) {
      out += (out.empty() ? "[" : "\n[") + child + "]\n";
    }
    write_table(entry->value, child, out);
  }
}

}  // namespace

Node parse_toml(std::string_view text, const std::string& file) {
  DottedKeyGuard(text, file).check();
  try {
    return TomlReader(file).read(toml::parse(text, file), 0);
  } catch (const toml::parse_error& error) {
    fail_at(place_of(error.source()), file, "not TOML: " + std::string(error.description()));
  }
}

std::string write_toml(const Node& table) {
  std::string out;
  write_table(table, "", out);
  return out;
}

}  // namespace autoround::recipe
