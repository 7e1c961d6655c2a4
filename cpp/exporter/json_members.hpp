// Lenient reads of files that other projects define: what is absent or of another type is null, "" or a fallback.
#pragma once

#include <string>
#include <string_view>

#include "base/json.hpp"

namespace autoround::exporter {

inline const Json& member(const Json& object, std::string_view key) {
  static const Json null;
  if (const auto* members = object.get_ptr<const Json::object_t*>())
    for (const auto& [name, value] : *members)
      if (name == key) return value;
  return null;
}

inline const Json::array_t& list_member(const Json& object, const char* key) {
  static const Json::array_t none;
  const auto* list = member(object, key).get_ptr<const Json::array_t*>();
  return list == nullptr ? none : *list;
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
