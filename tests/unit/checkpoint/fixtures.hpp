// Files of a checkpoint, made in memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.hpp"

namespace autoround::checkpoint::test {

/// A safetensors file: the length of `header`, the header, the data.
inline std::string safetensors(std::string_view header, std::string_view data = {}) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(static_cast<std::uint64_t>(header.size()) >> (8 * i) & 0xFF);
  return bytes.append(header).append(data);
}

/// A safetensors file with one U8 tensor [bytes] for each name; tensor i is filled with the letter 'a' + i.
inline std::string u8_tensors(const std::vector<std::string>& names, std::size_t bytes = 4) {
  std::string header = "{";
  std::string data;
  for (const std::string& name : names) {
    const char letter = static_cast<char>('a' + &name - names.data());
    header.append(header.size() == 1 ? "" : ",").append("\"").append(name).append("\":{\"dtype\":\"U8\",\"shape\":[");
    header.append(std::to_string(bytes)).append("],\"data_offsets\":[").append(std::to_string(data.size())).append(",");
    data.append(bytes, letter);
    header.append(std::to_string(data.size())).append("]}");
  }
  return safetensors(header + "}", data);
}

inline constexpr std::string_view small_config = R"({"model_type": "llama", "hidden_size": 64})";

/// A logger that keeps its lines.
struct LogLines {
  std::vector<std::string> lines;
  Logger logger{LogLevel::trace, [this](LogLevel, std::string_view text) { lines.emplace_back(text); }};

  bool mention(std::string_view part) const {
    for (const std::string& line : lines) {
      if (line.find(part) != std::string::npos) return true;
    }
    return false;
  }
};

}  // namespace autoround::checkpoint::test
