// Where the activations of all samples are: one matrix a stream, [samples * length, width], of which a pass touches a
// few samples at a time. In memory, or outside of the memory that is short: in files, so that only the samples that are
// being used are in the process, or of a device in the memory of the host.
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
  /// For a CUDA device: in pinned memory of the host, as tensors of the device, whose kernels reach it over the bus.
  static StreamArena on_host();

  /// Uninitialised. On devices other than the CPU it is their memory. @throws as the constructor; std::bad_alloc
  at::Tensor take(at::IntArrayRef sizes, at::ScalarType dtype, at::Device device) const;
  /// Puts `rows` at row `first` of `stream`, to rest there. An undefined stream is taken, `total` rows of their kind.
  void put(at::Tensor& stream, std::int64_t total, std::int64_t first, const at::Tensor& rows) const;
  /// What the rows hold now, in memory that the CPU reads: their own, where it does.
  at::Tensor on_cpu(const at::Tensor& rows) const;
  /// These rows will not be read or written for a while: what is in files leaves the process. Nothing happens to
  /// tensors of others.
  void rest(const at::Tensor& rows) const noexcept;
  bool in_files() const noexcept { return files_ != nullptr; }
  bool is_on_host() const noexcept { return on_host_; }

 private:
  class Files;
  std::shared_ptr<Files> files_;
  bool on_host_ = false;
};

}  // namespace autoround::model
