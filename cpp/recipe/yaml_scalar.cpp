#include "recipe/yaml_scalar.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <string_view>

#include "base/text.hpp"

namespace autoround::recipe {
namespace {

template <std::size_t N>
bool one_of(std::string_view text, const std::array<std::string_view, N>& names) {
  return std::find(names.begin(), names.end(), text) != names.end();
}

constexpr std::array<std::string_view, 5> kNull = {"", "~", "null", "Null", "NULL"};
constexpr std::array<std::string_view, 3> kTrue = {"true", "True", "TRUE"};
constexpr std::array<std::string_view, 3> kFalse = {"false", "False", "FALSE"};
constexpr std::array<std::string_view, 3> kInfinity = {".inf", ".Inf", ".INF"};
constexpr std::array<std::string_view, 3> kNan = {".nan", ".NaN", ".NAN"};
// Booleans of YAML 1.1: strings here, quoted on output because older readers take them for booleans.
constexpr std::array<std::string_view, 8> kOldBooleans = {"y", "n", "yes", "no", "on", "off", "=", "<<"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::size_t skip_digits(std::string_view text, std::size_t at) {
  while (at < text.size() && is_digit(text[at])) ++at;
  return at;
}

bool has_sign(std::string_view text) { return !text.empty() && (text[0] == '+' || text[0] == '-'); }

/// [-+]? [0-9]+, 0o[0-7]+, 0x[0-9a-fA-F]+
bool looks_like_integer(std::string_view text) {
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
    const auto digits = text[1] == 'o' ? "01234567" : "0123456789abcdefABCDEF";
    return text.find_first_not_of(digits, 2) == std::string_view::npos;
  }
  const std::size_t start = has_sign(text) ? 1 : 0;
  return start < text.size() && skip_digits(text, start) == text.size();
}

/// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool looks_like_number(std::string_view text) {
  if (has_sign(text)) text.remove_prefix(1);
  const std::size_t whole = skip_digits(text, 0);
  std::size_t at = whole;
  if (at < text.size() && text[at] == '.') {
    const std::size_t fraction = skip_digits(text, at + 1);
    if (whole == 0 && fraction == at + 1) return false;
    at = fraction;
  } else if (whole == 0) {
    return false;
  }
  if (at == text.size()) return true;
  if (text[at] != 'e' && text[at] != 'E') return false;
  ++at;
  if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
  return at < text.size() && skip_digits(text, at) == text.size();
}

std::optional<Node::Scalar> integer(std::string_view text) {
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
    base = text[1] == 'o' ? 8 : 16;
    text.remove_prefix(2);
  }
  if (text[0] == '+') text.remove_prefix(1);
  std::int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (result.ec != std::errc{}) return std::nullopt;
  return value;
}

/// Out of range for a double is infinity or zero, as in every other reader.
double number(std::string_view text) {
  const bool negative = text[0] == '-';
  if (has_sign(text)) text.remove_prefix(1);
  const double sign = negative ? -1.0 : 1.0;
  if (one_of(text, kInfinity)) return sign * std::numeric_limits<double>::infinity();
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc::result_out_of_range) {
    const bool tiny = text.find("e-") != std::string_view::npos || text.find("E-") != std::string_view::npos;
    return tiny ? 0.0 : sign * std::numeric_limits<double>::infinity();
  }
  return sign * value;
}

/// A cautious set: letters, digits and a few signs, beginning with a letter or underscore.
bool is_safe_plain(const std::string& text) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  if (text.empty() || !is_letter(text[0])) return false;
  std::string lower = text;
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (one_of(lower, kOldBooleans)) return false;
  const auto is_safe = [&](char c) { return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '/'; };
  const auto value = plain_scalar(text);
  return std::all_of(text.begin(), text.end(), is_safe) && value && std::holds_alternative<std::string>(*value);
}

/// Double-quoted, ASCII controls escaped. NEL, line and paragraph separators and the byte order mark are escaped too:
/// readers fold or drop them.
std::string quoted(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kSpecial = {
      {{"\xC2\x85", "\\u0085"}, {"\xE2\x80\xA8", "\\u2028"}, {"\xE2\x80\xA9", "\\u2029"}, {"\xEF\xBB\xBF", "\\ufeff"}}};
  std::string out = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const auto special = std::find_if(kSpecial.begin(), kSpecial.end(), [&](const auto& pair) {
      return text.substr(at, pair.first.size()) == pair.first;
    });
    if (special != kSpecial.end()) {
      out += special->second;
      at += special->first.size();
      continue;
    }
    const char c = text[at++];
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace

std::optional<Node::Scalar> plain_scalar(const std::string& text) {
  if (one_of(text, kNull)) return Node::Scalar();
  if (one_of(text, kTrue)) return true;
  if (one_of(text, kFalse)) return false;
  if (looks_like_integer(text)) return integer(text);
  const std::string_view unsigned_text = std::string_view(text).substr(has_sign(text) ? 1 : 0);
  if (looks_like_number(text) || one_of(unsigned_text, kInfinity)) return number(text);
  if (one_of(text, kNan)) return std::numeric_limits<double>::quiet_NaN();
  return text;
}

std::string scalar_text(const Node::Scalar& scalar) {
  if (std::holds_alternative<std::monostate>(scalar)) return "null";
  if (const auto* flag = std::get_if<bool>(&scalar)) return *flag ? "true" : "false";
  if (const auto* whole = std::get_if<std::int64_t>(&scalar)) return std::to_string(*whole);
  if (const auto* real = std::get_if<double>(&scalar)) return format_number(*real);
  const auto& text = std::get<std::string>(scalar);
  return is_safe_plain(text) ? text : quoted(text);
}

}  // namespace autoround::recipe
