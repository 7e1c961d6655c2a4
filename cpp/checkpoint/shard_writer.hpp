// Streaming safetensors output. All names, types and shapes are known before the run, so headers are written first,
// disk space is reserved, and every tensor goes straight to its place in any order.
#pragma once

#include <cstdint>
#include <gsl/span>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/tensor_info.hpp"

namespace autoround::checkpoint {

struct PlannedTensor {
  TensorInfo info;
  std::string module;  // tensors of one module stay in one shard
};

class ShardWriter {
 public:
  static constexpr std::uint64_t default_shard_bytes = 5'000'000'000;

  /// Lays out shards in the order of `plan`, creates and reserves the files in `directory`.
  /// @throws Error io (no space, no permission), invalid_argument (a name twice)
  ShardWriter(std::string directory, std::vector<PlannedTensor> plan,
              std::uint64_t max_shard_bytes = default_shard_bytes);
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;
  ~ShardWriter();

  /// Writes bytes [offset, offset + bytes.size()) of one planned tensor. Thread-safe for different tensors.
  void write(std::string_view name, std::uint64_t offset, gsl::span<const std::byte> bytes);
  /// Checks that every byte of every tensor was written, fsyncs, writes the index when there is more than one shard.
  void finish();
  std::uint64_t total_bytes() const noexcept;  // files with headers

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Bytes that a plan needs on disk, headers included.
std::uint64_t planned_bytes(const std::vector<PlannedTensor>& plan);

}  // namespace autoround::checkpoint
