#include "model/buffer_pool.hpp"

#include "support/catch.hpp"

namespace autoround::model {

TEST_CASE("buffer pool: memory comes back when its last tensor is gone, not before", "[model]") {
  BufferPool pool;
  auto first = pool.take({4, 8}, at::kFloat);
  const void* memory = first.const_data_ptr();
  auto view = first.narrow(0, 2, 1);
  first.reset();
  CHECK(pool.take({4, 8}, at::kFloat).const_data_ptr() != memory);
  view.reset();
  const auto again = pool.take({2, 16}, at::kFloat);
  CHECK(again.const_data_ptr() == memory);
  CHECK(again.sizes() == at::IntArrayRef({2, 16}));
  CHECK(again.is_contiguous());
}

TEST_CASE("buffer pool: another type or size is other memory", "[model]") {
  BufferPool pool;
  const void* memory = pool.take({8}, at::kFloat).const_data_ptr();
  const auto longer = pool.take({9}, at::kFloat);
  CHECK(longer.const_data_ptr() != memory);
  const auto halves = pool.take({16}, at::kBFloat16);
  CHECK(halves.scalar_type() == at::kBFloat16);
  CHECK(halves.size(0) == 16);
}

TEST_CASE("buffer pool: sizes that vary a little share memory, and never less than they need", "[model]") {
  BufferPool pool;
  const void* memory = pool.take({1000, 16}, at::kFloat).const_data_ptr();
  const auto larger = pool.take({1010, 16}, at::kFloat);  // within what the first was rounded up to
  CHECK(larger.const_data_ptr() == memory);
  CHECK(larger.sizes() == at::IntArrayRef({1010, 16}));
  CHECK(larger.storage().nbytes() >= larger.nbytes());
  CHECK(pool.take({900, 16}, at::kFloat).const_data_ptr() != memory);  // in use
  CHECK(pool.take({0, 16}, at::kFloat).numel() == 0);
}

TEST_CASE("buffer pool: what is not asked for again goes back to the system", "[model]") {
  BufferPool pool;
  const auto held = pool.take({500}, at::kByte);
  std::size_t most = 0;
  for (std::int64_t i = 1; i <= 1000; ++i) {
    pool.take({1000 * i}, at::kFloat);  // never again
    most = std::max(most, pool.size());
    pool.take({64}, at::kFloat);  // always
  }
  CHECK(most < 50);
  CHECK(held.numel() == 500);
}

}  // namespace autoround::model
