#include "recipe/value.hpp"

#include <cmath>

#include "base/error.hpp"
#include "base/text.hpp"

namespace autoround::recipe {
namespace {

struct TextOf {
  std::string operator()(const std::string& text) const { return text; }
  std::string operator()(std::int64_t number) const { return std::to_string(number); }
  std::string operator()(double number) const {
    if (std::isnan(number)) return "nan";
    if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
    return format_number(number);
  }
  std::string operator()(bool flag) const { return flag ? "true" : "false"; }
  std::string operator()(const std::vector<std::string>& list) const { return join(list, "\n"); }
};

/// As a person would point at it: strings in quotes, so that "4" and 4 differ.
std::string shown(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return '"' + *text + '"';
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) return "[" + join(*list, ", ") + "]";
  return to_text(value);
}

void check_utf8(const std::string& text, const std::string& key) {
  if (const auto at = invalid_utf8(text)) {
    fail(Code::invalid_argument, key,
         "found a byte that is not UTF-8 at offset " + std::to_string(*at) + ", wanted UTF-8 text");
  }
}

}  // namespace

std::string to_text(const Value& value) { return std::visit(TextOf{}, value); }

void reject(const Value& value, const std::string& key, const std::string& wanted) {
  fail(Code::invalid_argument, key, "found " + shown(value) + ", wanted " + wanted);
}

std::int64_t to_integer(const Value& value, const std::string& key, std::int64_t min, std::int64_t max) {
  const auto* number = std::get_if<std::int64_t>(&value);
  if (number && min <= *number && *number <= max) return *number;
  reject(value, key, "an integer from " + std::to_string(min) + " to " + std::to_string(max));
}

double to_finite(const Value& value, const std::string& key) {
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return static_cast<double>(*integer);
  const auto* number = std::get_if<double>(&value);
  if (number && std::isfinite(*number)) return *number;
  reject(value, key, "a finite number");
}

bool to_bool(const Value& value, const std::string& key) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag;
  reject(value, key, "true or false");
}

std::string to_string(const Value& value, const std::string& key) {
  const auto* text = std::get_if<std::string>(&value);
  if (!text) reject(value, key, "a string");
  check_utf8(*text, key);
  return *text;
}

std::vector<std::string> to_strings(const Value& value, const std::string& key) {
  if (std::holds_alternative<std::string>(value)) return {to_string(value, key)};
  const auto* list = std::get_if<std::vector<std::string>>(&value);
  if (!list) reject(value, key, "a list of strings");
  for (const auto& text : *list) check_utf8(text, key);
  return *list;
}

}  // namespace autoround::recipe
