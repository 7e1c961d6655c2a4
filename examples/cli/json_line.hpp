// What --json prints.
#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>

namespace cli {

/// One line of stdout. A path need not be UTF-8 and JSON must be: bytes that are not are replaced.
inline void print_line(const nlohmann::ordered_json& value) {
  const std::string text = value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  std::printf("%s\n", text.c_str());
}

}  // namespace cli
