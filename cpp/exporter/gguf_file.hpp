// A GGUF file (version 3, little endian) as bytes: metadata, the list of tensors, and where the data of each lies.
// Source: ggml docs/gguf.md
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/shard_layout.hpp"
#include "exporter/gguf_blocks.hpp"

namespace autoround::exporter {

/// Keys and values in the order in which they were added.
class GgufMetadata {
 public:
  void add_integer(std::string_view key, std::int64_t value);  // u32. @throws Error unsupported: out of its range
  void add_number(std::string_view key, double value);         // f32
  void add_flag(std::string_view key, bool value);
  void add_text(std::string_view key, std::string_view value);
  void add_texts(std::string_view key, const std::vector<std::string>& values);
  void add_numbers(std::string_view key, const std::vector<float>& values);
  void add_integers(std::string_view key, const std::vector<std::int32_t>& values);

  std::uint64_t count() const noexcept { return count_; }
  const std::string& bytes() const noexcept { return bytes_; }

 private:
  void begin(std::string_view key, std::uint32_t type);
  void begin_list(std::string_view key, std::uint32_t type, std::size_t count);
  std::uint64_t count_ = 0;
  std::string bytes_;
};

/// A tensor, or a slice of one that stacks tensors of the same shape.
struct GgufTensor {
  std::string name;
  std::vector<std::int64_t> shape;  // outermost dimension first, which is the other way round in the file
  const GgufType* type = nullptr;
  std::int64_t slice = -1;  // -1: the whole

  std::uint64_t byte_size() const;
};

/// The file as a ShardWriter writes it, with a place for each of `tensors`, called "NAME" or "NAME[SLICE]". A place
/// includes the zeros up to the next multiple of 32, so that all that follows the header is written with some tensor.
/// Slices of a tensor follow each other from 0 on.
/// @throws Error unsupported: a name that is too long for readers
checkpoint::ShardLayout lay_out_gguf(std::string file_name, const GgufMetadata& metadata,
                                     const std::vector<GgufTensor>& tensors);

}  // namespace autoround::exporter
