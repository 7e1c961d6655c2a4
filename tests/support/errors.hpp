// Runs a piece of code that must fail with autoround::Error, and returns that error.
#pragma once

#include <optional>
#include <string>

#include "base/error.hpp"
#include "support/catch.hpp"

namespace autoround::test {

template <typename Function>
Error error_of(Function&& function) {
  std::optional<Error> error;
  try {
    function();
  } catch (const Error& caught) {
    error = caught;
  }
  REQUIRE(error.has_value());
  return *error;
}

/// Whether the message alone holds `words`.
inline bool says(const Error& error, const std::string& words) {
  return std::string(error.what()).find(words) != std::string::npos;
}

/// Subject and message, as a caller of the library prints them.
inline std::string text_of(const Error& error) { return error.subject() + ": " + error.what(); }

inline bool mentions(const Error& error, const std::string& part) {
  return text_of(error).find(part) != std::string::npos;
}

}  // namespace autoround::test
