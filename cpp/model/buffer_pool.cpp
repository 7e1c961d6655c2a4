#include "model/buffer_pool.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace autoround::model {

at::Tensor mapped_tensor(at::IntArrayRef sizes, at::ScalarType dtype) {
  const auto bytes = static_cast<std::size_t>(c10::multiply_integers(sizes)) * c10::elementSize(dtype);
  const std::size_t length = std::max<std::size_t>(bytes, 1);
  void* memory = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return at::from_blob(memory, sizes, [length](void* mapped) { ::munmap(mapped, length); }, dtype);
}

at::Tensor BufferPool::take(at::IntArrayRef sizes, at::ScalarType dtype) {
  const auto bytes = static_cast<std::size_t>(c10::multiply_integers(sizes)) * c10::elementSize(dtype);
  for (const auto& storage : storages_) {
    // Equal sizes only: an iteration asks for the same few sizes again and again.
    if (storage.use_count() == 1 && storage.nbytes() == bytes) {
      return at::empty({0}, dtype).set_(storage, 0, sizes);
    }
  }
  at::Tensor fresh = mapped_tensor(sizes, dtype);
  storages_.push_back(fresh.storage());
  return fresh;
}

}  // namespace autoround::model
