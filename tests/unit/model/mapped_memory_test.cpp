#include "model/mapped_memory.hpp"

#include <ATen/ATen.h>

#include <thread>

#include "support/catch.hpp"

namespace autoround::model {
namespace {

constexpr std::int64_t page = 4096;

at::Tensor pages(std::int64_t count) { return mapped_tensor({count * page}, at::kByte); }

}  // namespace

TEST_CASE("kept memory: serves what comes from what is gone, in pieces and joined", "[model]") {
  const auto memory = std::make_shared<KeptMemory>();
  const KeptMemory::Scope scope(memory);
  at::Tensor large = pages(8);
  const auto* start = static_cast<const std::byte*>(large.const_data_ptr());
  CHECK(memory->kept() == 0);
  large.reset();
  CHECK(memory->kept() == 8 * page);

  at::Tensor a = pages(3), b = pages(2), c = pages(3);
  CHECK(a.const_data_ptr() == start);
  CHECK(b.const_data_ptr() == start + 3 * page);
  CHECK(c.const_data_ptr() == start + 5 * page);
  CHECK(memory->kept() == 0);
  a.reset();
  c.reset();
  CHECK(pages(2).const_data_ptr() != b.const_data_ptr());
  b.reset();  // joins both neighbours
  CHECK(pages(8).const_data_ptr() == start);
}

TEST_CASE("kept memory: never more together than was in use at a time", "[model]") {
  const auto memory = std::make_shared<KeptMemory>();
  const KeptMemory::Scope scope(memory);
  at::Tensor a = pages(4), b = pages(2);  // six at a time
  a.reset();
  at::Tensor c = pages(3);  // out of a's
  CHECK(memory->kept() == page);
  c.reset();
  b.reset();
  CHECK(memory->kept() == 6 * page);
  std::vector<at::Tensor> held;
  for (int i = 0; i < 5; ++i) {  // 2, 4 and 6 out of what is kept or in its place, then beyond what was
    held.push_back(pages(2));
    CHECK(memory->kept() + held.size() * 2 * page <= std::max<std::size_t>(6, held.size() * 2) * page);
  }
  held.clear();
  const at::Tensor longest = pages(9);  // no piece is that long, wherever the system put them
  CHECK(memory->kept() <= page);
}

TEST_CASE("kept memory: zeros are zeros, and a copy is one", "[model]") {
  const KeptMemory::Scope scope;
  pages(16).fill_(0xFF);
  CHECK(mapped_zeros({page, 2}, at::kFloat).count_nonzero().item<std::int64_t>() == 0);
  CHECK(lasting_zeros({page}, at::kShort, at::kCPU).count_nonzero().item<std::int64_t>() == 0);
  const at::Tensor x = at::arange(page, at::kInt);
  CHECK(at::equal(mapped_copy(x), x));
}

TEST_CASE("kept memory: is that of a thread and a scope, and tensors outlive it", "[model]") {
  at::Tensor survivor;
  {
    const auto memory = std::make_shared<KeptMemory>();
    const KeptMemory::Scope scope(memory);
    survivor = pages(4).fill_(3);
    {
      const KeptMemory::Scope none(nullptr);
      CHECK(KeptMemory::of_this_thread() == nullptr);
      pages(4).reset();
    }
    CHECK(KeptMemory::of_this_thread() == memory);
    CHECK(memory->kept() == 0);
    at::Tensor other = pages(2);
    std::thread([&] {
      CHECK(KeptMemory::of_this_thread() == nullptr);
      other.reset();  // goes back to where it is from
    }).join();
    CHECK(memory->kept() == 2 * page);
  }
  CHECK(KeptMemory::of_this_thread() == nullptr);
  CHECK(survivor.sum().item<std::int64_t>() == 3 * 4 * page);
}

TEST_CASE("kept memory: what no tensor came of goes back", "[model]") {
  const auto memory = std::make_shared<KeptMemory>();
  const KeptMemory::Scope scope(memory);
  CHECK_THROWS(mapped_tensor({-1, -page}, at::kByte));  // as many bytes as a page, which is mapped by then
  CHECK(memory->kept() == page);
  at::Tensor a = pages(2);
  CHECK(memory->kept() == 0);  // nothing but `a` is counted as used
  a.reset();
  CHECK(memory->kept() == 2 * page);
}

TEST_CASE("kept memory: an impossible size is an error and counts for nothing", "[model]") {
  const auto memory = std::make_shared<KeptMemory>();
  const KeptMemory::Scope scope(memory);
  CHECK_THROWS_AS(mapped_tensor({std::int64_t{1} << 60}, at::kByte), std::bad_alloc);
  pages(2).reset();
  pages(1).reset();
  CHECK(memory->kept() == 2 * page);
  at::Tensor a = pages(2), b = pages(2);  // four in use, so that no more than these are kept
  a.reset();
  b.reset();
  CHECK(memory->kept() == 4 * page);
}

}  // namespace autoround::model
