// Memory of large tensors, straight from the system and back to it. In the C library's heap what lives long would keep
// everything that was freed below it from being given back.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>

namespace autoround::model {

/// A contiguous tensor of nothing in particular. @throws std::bad_alloc
at::Tensor mapped_tensor(at::IntArrayRef sizes, at::ScalarType dtype);
at::Tensor mapped_zeros(at::IntArrayRef sizes, at::ScalarType dtype);
at::Tensor mapped_copy(const at::Tensor& x);
/// The same on any device; others than the CPU keep their memory themselves.
at::Tensor lasting_tensor(at::IntArrayRef sizes, at::ScalarType dtype, at::Device device);
at::Tensor lasting_zeros(at::IntArrayRef sizes, at::ScalarType dtype, at::Device device);

/// Memory of mapped tensors that are gone, for those to come: layers ask for the same again and again, and memory fresh
/// from the system costs a page fault each 4 KB. What is kept and what is in use are together never more than was once
/// in use, so that no peak grows by it. Thread-safe. Tensors may outlive it; what is kept does not.
class KeptMemory {
 public:
  KeptMemory() = default;
  KeptMemory(const KeptMemory&) = delete;
  KeptMemory& operator=(const KeptMemory&) = delete;
  ~KeptMemory() { keep_at_most(0); }

  std::size_t kept() const;

  /// While it lives, what its thread maps comes out of `memory` first, and goes there; null: is the system's. Ends on
  /// the thread that made it.
  class Scope {
   public:
    explicit Scope(std::shared_ptr<KeptMemory> memory = std::make_shared<KeptMemory>());
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope();

   private:
    std::shared_ptr<KeptMemory> before_;
  };
  /// The innermost scope's.
  static const std::shared_ptr<KeptMemory>& of_this_thread() noexcept;

  /// For mapped tensors; lengths are whole pages.
  struct Taken {
    std::byte* memory;
    bool fresh;  // zeros, as the system gives it
  };
  Taken take(std::size_t length);
  void give_back(std::byte* memory, std::size_t length) noexcept;

 private:
  void keep_at_most(std::size_t bytes) noexcept;

  mutable std::mutex mutex_;
  std::map<std::byte*, std::size_t> free_;  // neither overlapping nor touching
  std::size_t used_ = 0, kept_ = 0, most_used_ = 0;
};

}  // namespace autoround::model
