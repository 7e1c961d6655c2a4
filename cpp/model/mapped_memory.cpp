#include "model/mapped_memory.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <new>
#include <utility>

namespace autoround::model {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;

std::shared_ptr<KeptMemory>& current() noexcept {
  thread_local std::shared_ptr<KeptMemory> memory;
  return memory;
}

std::size_t whole_pages(std::size_t bytes) {
  static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return (std::max<std::size_t>(bytes, 1) + page - 1) / page * page;
}

std::byte* map(std::size_t length) {
  void* memory = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  // In large pages what is touched once is a fault in 512. Advice, for where the system waits to be asked.
  if (length >= huge_page) ::madvise(memory, length, MADV_HUGEPAGE);
  return static_cast<std::byte*>(memory);
}

struct Mapping {
  at::Tensor tensor;
  bool fresh;
};

Mapping mapping(at::IntArrayRef sizes, at::ScalarType dtype) {
  const auto bytes = static_cast<std::size_t>(c10::multiply_integers(sizes)) * c10::elementSize(dtype);
  const std::size_t length = whole_pages(bytes);
  const std::shared_ptr<KeptMemory>& kept = current();
  const KeptMemory::Taken taken = kept ? kept->take(length) : KeptMemory::Taken{map(length), true};
  const auto give_back = [owner = std::weak_ptr<KeptMemory>(kept), length](void* memory) {
    if (const auto alive = owner.lock())
      alive->give_back(static_cast<std::byte*>(memory), length);
    else
      ::munmap(memory, length);
  };
  const std::shared_ptr<void> owned(taken.memory, give_back);  // also when no tensor comes of it
  return {at::from_blob(taken.memory, sizes, [owned](void*) {}, dtype), taken.fresh};
}

}  // namespace

at::Tensor mapped_tensor(at::IntArrayRef sizes, at::ScalarType dtype) { return mapping(sizes, dtype).tensor; }

at::Tensor mapped_zeros(at::IntArrayRef sizes, at::ScalarType dtype) {
  Mapping made = mapping(sizes, dtype);
  return made.fresh ? std::move(made.tensor) : made.tensor.zero_();
}

at::Tensor mapped_copy(const at::Tensor& x) { return mapped_tensor(x.sizes(), x.scalar_type()).copy_(x); }

at::Tensor lasting_tensor(at::IntArrayRef sizes, at::ScalarType dtype, at::Device device) {
  return device.is_cpu() ? mapped_tensor(sizes, dtype) : at::empty(sizes, at::device(device).dtype(dtype));
}

at::Tensor lasting_zeros(at::IntArrayRef sizes, at::ScalarType dtype, at::Device device) {
  return device.is_cpu() ? mapped_zeros(sizes, dtype) : at::zeros(sizes, at::device(device).dtype(dtype));
}

KeptMemory::Scope::Scope(std::shared_ptr<KeptMemory> memory) : before_(std::exchange(current(), std::move(memory))) {}
KeptMemory::Scope::~Scope() { current() = std::move(before_); }

const std::shared_ptr<KeptMemory>& KeptMemory::of_this_thread() noexcept { return current(); }

std::size_t KeptMemory::kept() const {
  const std::lock_guard lock(mutex_);
  return kept_;
}

/// From the shortest piece that suffices; the rest of it stays.
KeptMemory::Taken KeptMemory::take(std::size_t length) {
  const std::lock_guard lock(mutex_);
  auto best = free_.end();
  for (auto piece = free_.begin(); piece != free_.end(); ++piece) {
    const bool better = best == free_.end() || piece->second < best->second;
    if (piece->second >= length && better) best = piece;
  }
  const std::size_t used = used_ + length, most_used = std::max(most_used_, used);
  Taken taken{nullptr, best == free_.end()};
  if (taken.fresh) {
    keep_at_most(most_used - used);
    taken.memory = map(length);
  } else {
    taken.memory = best->first;
    auto piece = free_.extract(best);
    kept_ -= length;
    piece.key() += length;
    piece.mapped() -= length;
    if (piece.mapped() > 0) free_.insert(std::move(piece));
  }
  used_ = used;
  most_used_ = most_used;
  return taken;
}

void KeptMemory::give_back(std::byte* memory, std::size_t length) noexcept {
  const std::lock_guard lock(mutex_);
  used_ -= length;
  try {
    const auto piece = free_.emplace(memory, length).first, next = std::next(piece);
    kept_ += length;
    const auto join = [&](auto low, auto high) {
      if (low->first + low->second != high->first) return;
      low->second += high->second;
      free_.erase(high);
    };
    if (next != free_.end()) join(piece, next);
    if (piece != free_.begin()) join(std::prev(piece), piece);
  } catch (const std::bad_alloc&) {  // no memory to write down where it is
    ::munmap(memory, length);
  }
}

/// The shortest pieces go first: what lies between others serves the least.
void KeptMemory::keep_at_most(std::size_t bytes) noexcept {
  while (kept_ > bytes) {
    const auto shortest =
        std::min_element(free_.begin(), free_.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    const std::size_t cut = std::min(shortest->second, kept_ - bytes);
    std::byte* const end = shortest->first + shortest->second;
    ::munmap(end - cut, cut);
    kept_ -= cut;
    shortest->second -= cut;
    if (shortest->second == 0) free_.erase(shortest);
  }
}

}  // namespace autoround::model
