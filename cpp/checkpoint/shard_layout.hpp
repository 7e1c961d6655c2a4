// Where every byte of a set of safetensors files will be, decided before the first one is written.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/shard_writer.hpp"

namespace autoround::checkpoint {

struct LaidTensor {
  TensorInfo info;
  std::uint64_t begin = 0;  // offset of the first byte in the file
};

struct ShardLayout {
  std::string file_name;
  std::string header;               // the 8 bytes of length, the JSON and its padding
  std::vector<LaidTensor> tensors;  // by width of the type, widest first, then by name
  std::uint64_t file_bytes = 0;
};

/// Fills shards in the order of `plan`; a module is never split, and one that is larger than `max_shard_bytes` gets a
/// shard of its own. One shard is called model.safetensors, several model-00001-of-0000N.safetensors.
/// @throws Error invalid_argument: a name twice, or a tensor that no file can hold.
std::vector<ShardLayout> lay_out_shards(const std::vector<PlannedTensor>& plan, std::uint64_t max_shard_bytes);

/// The text of model.safetensors.index.json, as transformers writes it.
std::string index_text(const std::vector<ShardLayout>& shards);

}  // namespace autoround::checkpoint
