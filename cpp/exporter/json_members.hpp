// Lenient reads of files that other projects define: what is absent or of another type is null, "" or a fallback.
#pragma once

#include <string>

#include "base/json.hpp"

namespace autoround::exporter {

inline const Json& member(const Json& object, const char* key) {
  static const Json null;
  const auto found = object.find(key);  // of what is no object: the end
  return found == object.end() ? null : *found;
}

inline std::string text_member(const Json& object, const char* key) {
  const Json& value = member(object, key);
  return value.is_string() ? value.get<std::string>() : "";
}

inline bool flag_member(const Json& object, const char* key, bool fallback) {
  const Json& value = member(object, key);
  return value.is_boolean() ? value.get<bool>() : fallback;
}

}  // namespace autoround::exporter
