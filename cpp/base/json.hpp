// Strict JSON over nlohmann-json: what the library accepts in silence is an error here (duplicate keys, depth, trailing
// text, wrong types, numbers that do not fit). Every typed getter names the file and the key in its error.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace autoround {

using Json = nlohmann::ordered_json;

struct JsonLimits {
  std::size_t max_bytes = 16u << 20;
  int max_depth = 64;
  int first_line = 1;  // its number in errors, of a text that is one line of many
};

/// Parses one JSON document. `subject` names the text in errors, usually a file name.
/// @throws Error parse: bad syntax (line and column), invalid UTF-8, trailing text, a duplicate key, or a limit passed.
Json parse_json(std::string_view text, const std::string& subject, const JsonLimits& limits = {});

/// A JSON object with its name, for typed reads. Holds a reference: the Json must outlive it.
class JsonView {
 public:
  JsonView(const Json& object, std::string subject);  // throws parse when not an object

  const Json& json() const noexcept { return *object_; }
  const std::string& subject() const noexcept { return subject_; }
  bool has(const std::string& key) const;  // present and not null

  /// Integers accept 4096 and 4096.0, refuse strings, booleans, fractions and values outside [min, max].
  std::int64_t integer(const std::string& key, std::int64_t min, std::int64_t max) const;
  std::int64_t integer_or(const std::string& key, std::int64_t fallback, std::int64_t min, std::int64_t max) const;
  double number(const std::string& key) const;  // finite
  double number_or(const std::string& key, double fallback) const;
  bool boolean_or(const std::string& key, bool fallback) const;
  std::string string(const std::string& key) const;
  std::string string_or(const std::string& key, std::string fallback) const;
  /// nullopt when absent or null. The view's subject is this one's and the key: "config.json: text_config".
  std::optional<JsonView> object(const std::string& key) const;

 private:
  const Json* find(const std::string& key) const;  // nullptr when absent or null
  const Json& at(const std::string& key) const;    // throws parse when absent or null

  const Json* object_;
  std::string subject_;
};

}  // namespace autoround
