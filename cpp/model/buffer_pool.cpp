#include "model/buffer_pool.hpp"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <bit>

#include "model/mapped_memory.hpp"

namespace autoround::model {
namespace {

/// Sizes that are nearly alike share memory: what experts need varies with the tokens that go to them.
std::size_t rounded_up(std::size_t bytes) {
  const std::size_t step = std::max<std::size_t>(1, std::bit_floor(bytes) / 8);
  return (bytes + step - 1) / step * step;
}

}  // namespace

at::Tensor BufferPool::take(at::IntArrayRef sizes, const at::TensorOptions& options) {
  if (!options.device().is_cpu()) return at::empty(sizes, options);
  const at::ScalarType dtype = c10::typeMetaToScalarType(options.dtype());
  const auto bytes = static_cast<std::size_t>(c10::multiply_integers(sizes)) * c10::elementSize(dtype);
  ++takes_;
  Buffer* best = nullptr;
  for (Buffer& buffer : buffers_) {
    // Close sizes only: an iteration asks for the same few sizes, or about the same, again and again.
    const std::size_t size = buffer.storage.nbytes();
    const bool fits = size >= bytes && size - bytes <= bytes / 4;
    if (fits && buffer.is_free() && (best == nullptr || size < best->storage.nbytes())) best = &buffer;
  }
  if (best == nullptr) {
    drop_stale();
    buffers_.push_back({mapped_tensor({static_cast<std::int64_t>(rounded_up(bytes))}, at::kByte).storage()});
    best = &buffers_.back();
  }
  best->last_taken = takes_;
  return at::empty({0}, dtype).set_(best->storage, 0, sizes);
}

/// Of sizes that do not come again, as what goes to an expert in one iteration and not in the next. An iteration takes
/// each of its buffers once or a few times.
void BufferPool::drop_stale() {
  const auto patience = static_cast<std::int64_t>(4 * buffers_.size());
  std::erase_if(buffers_, [&](const Buffer& b) { return b.is_free() && takes_ - b.last_taken > patience; });
}

}  // namespace autoround::model
