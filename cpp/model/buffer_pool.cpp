#include "model/buffer_pool.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>

namespace autoround::model {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;

/// Sizes that are nearly alike share memory: what experts need varies with the tokens that go to them.
std::size_t rounded_up(std::size_t bytes) {
  const std::size_t step = std::max<std::size_t>(1, std::bit_floor(bytes) / 8);
  return (bytes + step - 1) / step * step;
}

}  // namespace

at::Tensor mapped_tensor(at::IntArrayRef sizes, at::ScalarType dtype) {
  const auto bytes = static_cast<std::size_t>(c10::multiply_integers(sizes)) * c10::elementSize(dtype);
  const std::size_t length = std::max<std::size_t>(bytes, 1);
  void* memory = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  // Each page is touched once: in large pages that is a fault in 512. Advice, for where the system waits to be asked.
  if (length >= huge_page) ::madvise(memory, length, MADV_HUGEPAGE);
  return at::from_blob(memory, sizes, [length](void* mapped) { ::munmap(mapped, length); }, dtype);
}

at::Tensor mapped_copy(const at::Tensor& x) { return mapped_tensor(x.sizes(), x.scalar_type()).copy_(x); }

at::Tensor lasting_tensor(at::IntArrayRef sizes, at::ScalarType dtype, at::Device device) {
  return device.is_cpu() ? mapped_tensor(sizes, dtype) : at::zeros(sizes, at::device(device).dtype(dtype));
}

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
