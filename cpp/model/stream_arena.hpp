// Where the activations of all samples are: one matrix a stream, [samples * length, width], of which a pass touches a
// few samples at a time. In memory, or in files, so that only the samples that are being used are in the process.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace autoround::model {

/// A handle: copies share what they allocate from, which lives as long as a copy or a stream does.
class StreamArena {
 public:
  /// In memory, given back to the system stream by stream.
  StreamArena() = default;
  /// In files without names in `directory`, handed out again and again. Room for `streams` of `bytes` each is reserved
  /// now: a full disk shows before the work. @throws Error io, not_found (subject = directory)
  StreamArena(std::string directory, std::size_t streams, std::size_t bytes);

  /// Uninitialised. On devices other than the CPU it is their memory. @throws as the constructor; std::bad_alloc
  at::Tensor take(at::IntArrayRef sizes, at::ScalarType dtype, at::Device device) const;
  /// Puts `rows` at row `first` of `stream`, to rest there. An undefined stream is taken, `total` rows of their kind.
  void put(at::Tensor& stream, std::int64_t total, std::int64_t first, const at::Tensor& rows) const;
  /// These rows will not be read or written for a while: what is in files leaves the process. Nothing happens to
  /// tensors of others.
  void rest(const at::Tensor& rows) const noexcept;
  bool in_files() const noexcept { return files_ != nullptr; }

 private:
  class Files;
  std::shared_ptr<Files> files_;
};

}  // namespace autoround::model
