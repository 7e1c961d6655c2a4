#include "model/stream_arena.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <deque>
#include <mutex>
#include <utility>

#include "base/scratch_memory.hpp"
#include "device/device.hpp"
#include "model/mapped_memory.hpp"

namespace autoround::model {

/// Tensors may be given back by any thread: a host can hold one that an event showed.
class StreamArena::Files {
 public:
  explicit Files(std::string directory) : directory_(std::move(directory)) {}

  struct File {
    ScratchMemory memory;
    bool taken = false;
  };

  void reserve(std::size_t streams, std::size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    while (files_.size() < streams) files_.push_back({ScratchMemory(directory_, bytes)});
  }
  File& take(std::size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    File* best = nullptr;
    for (File& file : files_) {
      const bool fits = !file.taken && file.memory.size() >= bytes;
      if (fits && (best == nullptr || file.memory.size() < best->memory.size())) best = &file;
    }
    if (best == nullptr) best = &files_.emplace_back(File{ScratchMemory(directory_, bytes)});
    best->taken = true;
    return *best;
  }
  void give_back(File& file) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    file.memory.evict(file.memory.data(), file.memory.size());
    file.taken = false;
  }
  void evict(const void* first, std::size_t bytes) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const File& file : files_)
      if (file.memory.contains(first)) file.memory.evict(first, bytes);
  }

 private:
  std::string directory_;
  std::mutex mutex_;
  std::deque<File> files_;  // stay where they are
};

namespace {

/// Under unified addressing a kernel takes the address of pinned memory as it is.
at::Tensor pinned_stream(at::IntArrayRef sizes, at::ScalarType dtype, at::Device device) {
  at::Tensor host = device::pinned_tensor(sizes, dtype, device);
  void* const memory = host.mutable_data_ptr();
  const auto give_back = [host = std::move(host)](void*) mutable { host.reset(); };
  return at::from_blob(memory, sizes, give_back, at::TensorOptions(dtype).device(device), device);
}

/// The same memory, as the copies between host and device have to be told.
at::Tensor as_host(const at::Tensor& pinned) {
  return at::from_blob(pinned.mutable_data_ptr(), pinned.sizes(), at::TensorOptions(pinned.scalar_type()));
}

}  // namespace

StreamArena::StreamArena(std::string directory, std::size_t streams, std::size_t bytes)
    : files_(std::make_shared<Files>(std::move(directory))) {
  files_->reserve(streams, bytes);
}

StreamArena StreamArena::on_host() {
  StreamArena arena;
  arena.on_host_ = true;
  return arena;
}

at::Tensor StreamArena::take(at::IntArrayRef sizes, at::ScalarType dtype, at::Device device) const {
  if (on_host_ && !device.is_cpu()) return pinned_stream(sizes, dtype, device);
  if (!files_ || !device.is_cpu()) return lasting_tensor(sizes, dtype, device);
  const auto bytes = static_cast<std::size_t>(c10::multiply_integers(sizes)) * c10::elementSize(dtype);
  Files::File& file = files_->take(bytes);
  return at::from_blob(file.memory.data(), sizes, [files = files_, &file](void*) { files->give_back(file); }, dtype);
}

void StreamArena::put(at::Tensor& stream, std::int64_t total, std::int64_t first, const at::Tensor& rows) const {
  if (!stream.defined()) stream = take({total, rows.size(1)}, rows.scalar_type(), rows.device());
  at::Tensor place = stream.narrow(0, first, rows.size(0));
  on_host_ && !place.is_cpu() ? as_host(place).copy_(rows, /*non_blocking=*/true) : place.copy_(rows);
  rest(place);
}

at::Tensor StreamArena::on_cpu(const at::Tensor& rows) const {
  if (!on_host_ || rows.is_cpu()) return rows.cpu();
  device::synchronize(rows.device());
  return as_host(rows).clone();
}

void StreamArena::rest(const at::Tensor& rows) const noexcept {
  if (files_ && rows.defined()) files_->evict(rows.const_data_ptr(), rows.nbytes());
}

}  // namespace autoround::model
