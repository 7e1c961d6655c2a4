// A value on its way into a field, and the checks that all fields share. Setters of the C ABI and both syntaxes make
// Values, so a wrong type or a number out of range reads the same everywhere: "found X, wanted Y".
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace autoround::recipe {

using Value = std::variant<std::string, std::int64_t, double, bool, std::vector<std::string>>;

/// Text form: numbers so that they read back the same, a list with one element a line.
std::string to_text(const Value& value);

// Each returns the value with its type, or throws Error invalid_argument with subject = `key`.
std::int64_t to_integer(const Value& value, const std::string& key, std::int64_t min, std::int64_t max);
double to_finite(const Value& value, const std::string& key);  // integers are numbers too
bool to_bool(const Value& value, const std::string& key);
std::string to_string(const Value& value, const std::string& key);                // valid UTF-8
std::vector<std::string> to_strings(const Value& value, const std::string& key);  // one string is a list of one

/// Throws Error invalid_argument, subject = `key`: "found <value>, wanted <wanted>".
[[noreturn]] void reject(const Value& value, const std::string& key, const std::string& wanted);

}  // namespace autoround::recipe
