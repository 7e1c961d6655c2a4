// model.safetensors.index.json: which shard holds which tensor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/log.hpp"

namespace autoround::checkpoint {

inline constexpr const char* single_shard_name = "model.safetensors";
inline constexpr const char* shard_index_name = "model.safetensors.index.json";

struct ShardIndex {
  std::vector<std::string> shards;                        // file names, sorted, each once
  std::unordered_map<std::string, std::size_t> shard_of;  // tensor name -> place in `shards`
  std::optional<std::uint64_t> total_size;                // what the index claims; never relied on

  /// @throws Error parse: not an index, a shard that is no plain *.safetensors name, or a limit passed.
  static ShardIndex parse(std::string_view text, const std::string& subject, const Logger& log);
};

}  // namespace autoround::checkpoint
