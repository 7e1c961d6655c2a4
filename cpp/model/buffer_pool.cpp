#include "model/buffer_pool.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <sys/mman.h>

#include <new>

namespace autoround::model {

at::Tensor mapped_memory(std::int64_t bytes) {
  const auto size = static_cast<std::size_t>(bytes > 0 ? bytes : 1);
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return at::from_blob(memory, {bytes}, [size](void* mapped) { ::munmap(mapped, size); }, at::kByte);
}

at::Tensor BufferPool::take(at::IntArrayRef sizes, at::ScalarType dtype) {
  const auto bytes = static_cast<std::size_t>(c10::multiply_integers(sizes)) * c10::elementSize(dtype);
  const auto tensor = [&](const c10::Storage& storage) { return at::empty({0}, dtype).set_(storage, 0, sizes); };
  for (const auto& storage : storages_) {
    // Equal sizes only: an iteration asks for the same few sizes again and again.
    if (storage.use_count() == 1 && storage.nbytes() == bytes) return tensor(storage);
  }
  storages_.push_back(mapped_memory(static_cast<std::int64_t>(bytes)).storage());
  return tensor(storages_.back());
}

}  // namespace autoround::model
