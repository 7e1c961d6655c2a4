// Memory for the large temporaries of a tuning iteration. The C library returns a freed block of this size to the
// system, so that each iteration would page-fault all of it in again, or keeps it as a hole between others; here a
// buffer that nobody holds is handed out again, and all of it goes back at once with the pool.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace autoround::model {

/// Of the CPU: other devices keep what was freed themselves. Not thread-safe: forward and backward of a CPU graph run
/// on the thread that tunes. Grows to what an iteration needs, give or take a little. Counted, so that a graph can hold
/// the pool that its backward pass takes from.
class BufferPool : public torch::CustomClassHolder {
 public:
  /// An uninitialised contiguous tensor. Its memory comes back by itself when the last tensor over it is gone.
  at::Tensor take(at::IntArrayRef sizes, const at::TensorOptions& options);
  at::Tensor take_like(const at::Tensor& x) { return take(x.sizes(), x.options()); }
  std::size_t size() const noexcept { return buffers_.size(); }

 private:
  struct Buffer {
    c10::Storage storage;
    std::int64_t last_taken = 0;
    bool is_free() const { return storage.use_count() == 1; }
  };
  void drop_stale();

  std::vector<Buffer> buffers_;
  std::int64_t takes_ = 0;
};

}  // namespace autoround::model
