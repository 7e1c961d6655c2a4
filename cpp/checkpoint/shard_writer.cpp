#include "checkpoint/shard_writer.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <unordered_map>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/hash.hpp"
#include "base/text.hpp"
#include "checkpoint/shard_index.hpp"
#include "checkpoint/shard_layout.hpp"

namespace autoround::checkpoint {
namespace {

// The bytes of one tensor that were claimed by a write so far, as disjoint ranges. Usually one that grows.
class WrittenRanges {
 public:
  /// @return false when a byte of [begin, end) was claimed before.
  bool claim(std::uint64_t begin, std::uint64_t end) {
    if (begin == end) return true;
    auto next = ranges_.lower_bound(begin);
    if (next != ranges_.end() && next->first < end) return false;
    if (next != ranges_.begin()) {
      const auto previous = std::prev(next);
      if (previous->second > begin) return false;
      if (previous->second == begin) {
        begin = previous->first;
        ranges_.erase(previous);
      }
    }
    if (next != ranges_.end() && next->first == end) {
      end = next->second;
      ranges_.erase(next);
    }
    ranges_.emplace(begin, end);
    return true;
  }

  /// Offset of the first byte of [0, size) that was not claimed, or size.
  std::uint64_t first_gap(std::uint64_t size) const {
    if (size == 0 || ranges_.empty() || ranges_.begin()->first != 0) return 0;
    return ranges_.begin()->second;
  }

 private:
  std::map<std::uint64_t, std::uint64_t> ranges_;  // begin -> end
};

}  // namespace

struct ShardWriter::Impl {
  struct Tensor {
    const TensorInfo* info;
    std::uint64_t begin;
    OutputFile* file;
    WrittenRanges written;
  };

  Impl(std::string folder, std::vector<ShardLayout> layouts)
      : directory(std::move(folder)), shards(std::move(layouts)) {
    files.reserve(shards.size());  // tensors hold pointers into it
    for (const ShardLayout& shard : shards) {
      files.push_back(OutputFile::open(join_path(directory, shard.file_name), shard.file_bytes));
      files.back().write(0, gsl::as_bytes(gsl::make_span(shard.header)));
      for (const LaidTensor& tensor : shard.tensors) {
        tensors.emplace(tensor.info.name, Tensor{&tensor.info, tensor.begin, &files.back(), {}});
      }
    }
  }

  // Marks bytes [begin, end) of a tensor as written. @throws internal when one of them is.
  void claim(std::string_view name, Tensor& tensor, std::uint64_t begin, std::uint64_t end) {
    const std::lock_guard lock(mutex);
    if (finished) fail(Code::internal, std::string(name), "the tensor was written after the output was finished");
    if (!tensor.written.claim(begin, end))
      fail(Code::internal, std::string(name), "bytes at offset " + std::to_string(begin) + " were written twice");
  }

  Tensor& find(std::string_view name) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) fail(Code::internal, std::string(name), "a tensor was written that was not planned");
    return found->second;
  }

  /// One that has these bytes.
  Tensor& find(std::string_view name, std::uint64_t offset, std::uint64_t bytes) {
    Tensor& tensor = find(name);
    const std::uint64_t size = tensor.info->byte_size();
    if (offset > size || bytes > size - offset) {
      fail(Code::internal, std::string(name),
           "the tensor has " + std::to_string(size) + " bytes, not " + std::to_string(bytes) + " at offset " +
               std::to_string(offset));
    }
    return tensor;
  }

  std::string directory;
  std::vector<ShardLayout> shards;
  std::vector<OutputFile> files;  // parallel to `shards`
  std::unordered_map<std::string_view, Tensor> tensors;
  std::mutex mutex;  // guards the written ranges and `finished`; the writing itself needs no lock
  bool finished = false;
};

ShardWriter::ShardWriter(std::string directory, std::vector<PlannedTensor> plan, std::uint64_t max_shard_bytes)
    : ShardWriter(std::move(directory), lay_out_shards(plan, max_shard_bytes)) {}

ShardWriter::ShardWriter(std::string directory, std::vector<ShardLayout> shards)
    : impl_(std::make_unique<Impl>(std::move(directory), std::move(shards))) {}

ShardWriter::~ShardWriter() = default;

void ShardWriter::write(std::string_view name, std::uint64_t offset, gsl::span<const std::byte> bytes) {
  Impl::Tensor& tensor = impl_->find(name, offset, bytes.size());
  impl_->claim(name, tensor, offset, offset + bytes.size());
  tensor.file->write(tensor.begin + offset, bytes);
}

void ShardWriter::rewrite(std::string_view name, std::uint64_t offset, gsl::span<const std::byte> bytes) {
  Impl::Tensor& tensor = impl_->find(name, offset, bytes.size());
  tensor.file->write(tensor.begin + offset, bytes);
}

bool ShardWriter::holds(std::string_view name, std::string_view hash) const {
  constexpr std::uint64_t piece = std::uint64_t{4} << 20;
  const Impl::Tensor& tensor = impl_->find(name);
  const std::uint64_t size = tensor.info->byte_size();
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(piece, size)));
  Hasher hasher;
  for (std::uint64_t offset = 0; offset < size; offset += piece) {
    const auto part = gsl::make_span(buffer).first(static_cast<std::size_t>(std::min(piece, size - offset)));
    tensor.file->read(tensor.begin + offset, part);
    hasher.add(part);
  }
  return hasher.text() == hash;
}

void ShardWriter::keep(std::string_view name) {
  Impl::Tensor& tensor = impl_->find(name);
  impl_->claim(name, tensor, 0, tensor.info->byte_size());
}

void ShardWriter::read(std::string_view name, std::uint64_t offset, gsl::span<std::byte> out) const {
  const Impl::Tensor& tensor = impl_->find(name, offset, out.size());
  tensor.file->read(tensor.begin + offset, out);
}

std::string ShardWriter::place_of(std::string_view name) const {
  const Impl::Tensor& tensor = impl_->find(name);
  return file_name(tensor.file->path()) + ", offset " + std::to_string(tensor.begin);
}

std::vector<std::string> ShardWriter::file_names() const {
  std::vector<std::string> names;
  for (const ShardLayout& shard : impl_->shards) names.push_back(shard.file_name);
  return names;
}

void ShardWriter::sync() {
  for (OutputFile& file : impl_->files) file.sync();
}

void ShardWriter::finish() {
  const std::lock_guard lock(impl_->mutex);
  if (std::exchange(impl_->finished, true)) fail(Code::internal, impl_->directory, "the output was finished twice");
  for (const ShardLayout& shard : impl_->shards) {
    for (const LaidTensor& laid : shard.tensors) {
      const std::uint64_t size = laid.info.byte_size();
      const std::uint64_t gap = impl_->find(laid.info.name).written.first_gap(size);
      if (gap != size) {
        fail(Code::internal, laid.info.name,
             "the tensor was not written whole: of its " + std::to_string(size) + " bytes, those from offset " +
                 std::to_string(gap) + " are missing");
      }
    }
  }
  for (OutputFile& file : impl_->files) file.close();
  if (impl_->shards.size() > 1) {
    write_text_file(join_path(impl_->directory, shard_index_name), index_text(impl_->shards));
  }
}

std::uint64_t ShardWriter::total_bytes() const noexcept {
  std::uint64_t total = 0;
  for (const ShardLayout& shard : impl_->shards) total += shard.file_bytes;
  return total;
}

std::uint64_t planned_bytes(const std::vector<PlannedTensor>& plan) {
  std::uint64_t total = 0;
  for (const ShardLayout& shard : lay_out_shards(plan, ShardWriter::default_shard_bytes)) total += shard.file_bytes;
  return total;
}

}  // namespace autoround::checkpoint
