// Runs a call that must fail and hands back its error, so that a test can look at code, subject, place and words.
#pragma once

#include <string>

#include "base/error.hpp"
#include "support/catch.hpp"

namespace autoround::test {

template <typename Call>
Error error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error was thrown");
  throw std::logic_error("unreachable");
}

inline bool says(const Error& error, const std::string& words) {
  return std::string(error.what()).find(words) != std::string::npos;
}

}  // namespace autoround::test
