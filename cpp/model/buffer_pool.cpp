#include "model/buffer_pool.hpp"

#include <ATen/ops/empty.h>

namespace autoround::model {

at::Tensor BufferPool::take(at::IntArrayRef sizes, at::ScalarType dtype) {
  const auto bytes = static_cast<std::size_t>(c10::multiply_integers(sizes)) * c10::elementSize(dtype);
  for (const auto& storage : storages_) {
    // Equal sizes only: an iteration asks for the same few sizes again and again.
    if (storage.use_count() == 1 && storage.nbytes() == bytes) {
      return at::empty({0}, dtype).set_(storage, 0, sizes);
    }
  }
  at::Tensor fresh = at::empty(sizes, dtype);
  storages_.push_back(fresh.storage());
  return fresh;
}

}  // namespace autoround::model
