// What an Error must say: its code, and words of its subject and message.
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"
#include "support/catch.hpp"

namespace autoround::test {

template <typename Action>
void expect_error(Code code, const std::vector<std::string>& words, Action action) {
  try {
    action();
  } catch (const Error& error) {
    const std::string text = error.subject() + ": " + error.what();
    INFO(text);
    CHECK(error.code() == code);
    for (const std::string& word : words) {
      INFO("wanted in it: " << word);
      CHECK(text.find(word) != std::string::npos);
    }
    return;
  }
  FAIL("no Error was thrown");
}

}  // namespace autoround::test
