// Streaming safetensors output. All names, types and shapes are known before the run, so headers are written first,
// disk space is reserved, and every tensor goes straight to its place in any order. A writer of the same plan finds the
// tensors of one that was killed in their places.
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

struct ShardLayout;  // checkpoint/shard_layout.hpp

class ShardWriter {
 public:
  static constexpr std::uint64_t default_shard_bytes = 5'000'000'000;

  /// Lays out shards in the order of `plan`, creates and reserves the files in `directory`. Files of the same names are
  /// taken over: their headers are written anew, and what else they hold counts as not written until keep() says so.
  /// @throws Error io (no space, no permission), invalid_argument (a name twice)
  ShardWriter(std::string directory, std::vector<PlannedTensor> plan,
              std::uint64_t max_shard_bytes = default_shard_bytes);
  /// The same for files of any format that have a header and then tensors in places of their own.
  ShardWriter(std::string directory, std::vector<ShardLayout> shards);
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;
  ~ShardWriter();

  /// Writes bytes [offset, offset + bytes.size()) of one planned tensor. Thread-safe for different tensors.
  void write(std::string_view name, std::uint64_t offset, gsl::span<const std::byte> bytes);
  /// The same where bytes were written before. write() refuses that.
  void rewrite(std::string_view name, std::uint64_t offset, gsl::span<const std::byte> bytes);
  /// Whether the file holds bytes of this hash where the tensor belongs. @throws Error io
  bool holds(std::string_view name, std::string_view hash) const;
  /// Counts the tensor as written whole.
  void keep(std::string_view name);
  /// Fills `out` with what is in the place of the tensor, from a byte of it on. @throws Error io
  void read(std::string_view name, std::uint64_t offset, gsl::span<std::byte> out) const;
  /// "model.safetensors, offset 1234"
  std::string place_of(std::string_view name) const;
  std::vector<std::string> file_names() const;
  /// What was written so far survives a power cut. @throws Error io
  void sync();
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
