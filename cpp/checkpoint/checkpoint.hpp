// A checkpoint folder opened for reading: config.json, one or many safetensors shards, and the other files beside them.
// Everything in it is untrusted: sizes, offsets and names are checked before anything is read or allocated.
#pragma once

#include <gsl/span>
#include <memory>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "checkpoint/hf_config.hpp"
#include "checkpoint/tensor_info.hpp"

namespace autoround::checkpoint {

struct OpenOptions {
  bool strict_paths = false;  // no symlinks, no hard links; otherwise the Hugging Face cache's blob links are followed
  bool strict_index = false;  // a tensor that the index does not list is an error instead of a warning
};

/// One file of weights, as it was when it was opened: whether another run read the same one.
struct ShardFile {
  std::string name;
  std::uint64_t size = 0;
  std::int64_t modified = 0;  // nanoseconds since 1970
  std::string header_hash;
};

class Checkpoint {
 public:
  /// @throws Error not_found, io, parse, unsupported (pickle files only), each naming file, tensor or key.
  static std::shared_ptr<const Checkpoint> open(const std::string& directory, const Logger& log,
                                                const OpenOptions& options = {});
  ~Checkpoint();

  /// Where it lies, wherever the process goes meanwhile: absolute, without links.
  const std::string& directory() const noexcept;
  const std::string& given_directory() const noexcept;  // as it was opened: for messages and reports
  const HfConfig& config() const noexcept;
  gsl::span<const TensorInfo> tensors() const noexcept;  // shard by shard, in file order
  const TensorInfo* find(std::string_view name) const noexcept;
  std::uint64_t byte_size() const noexcept;  // of all tensors
  std::vector<ShardFile> shards() const;     // in the order of their tensors. @throws Error io

  /// Reads bytes [offset, offset + out.size()) of one tensor. Thread-safe. @throws Error not_found, io,
  /// invalid_argument
  void read(std::string_view name, std::uint64_t offset, gsl::span<std::byte> out) const;

  /// Asks the system to read the tensors whose names begin with `prefix` into its cache. Returns at once.
  void will_need(std::string_view prefix) const noexcept;

  /// Names of the files that an output folder must carry along unchanged (tokenizer, generation config, code ...).
  const std::vector<std::string>& companion_files() const noexcept;

 private:
  struct Impl;
  explicit Checkpoint(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace autoround::checkpoint
