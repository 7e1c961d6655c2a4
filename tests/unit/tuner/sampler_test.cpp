#include "tuner/sampler.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "support/catch.hpp"

namespace autoround::tuner {
namespace {

std::vector<std::int64_t> range(std::int64_t n) {
  std::vector<std::int64_t> items(static_cast<std::size_t>(n));
  std::iota(items.begin(), items.end(), 0);
  return items;
}

std::vector<std::int64_t> copy(gsl::span<const std::int64_t> items) { return {items.begin(), items.end()}; }

}  // namespace

// Expected orders are CPython 3.11's: random.seed(seed); random.shuffle(items), twice.
TEST_CASE("python random: shuffles as CPython does", "[tuner]") {
  struct Case {
    std::uint64_t seed;
    std::vector<std::int64_t> first, second;
  };
  const Case cases[] = {
      {42, {7, 3, 2, 8, 5, 6, 9, 4, 0, 1}, {8, 6, 2, 5, 3, 0, 4, 7, 9, 1}},
      {0, {4, 2, 1, 0, 5, 3, 6}, {2, 4, 5, 3, 6, 1, 0}},
      {(std::uint64_t{1} << 40) + 12345,
       {10, 3, 11, 7, 8, 6, 9, 2, 0, 1, 5, 4},
       {2, 11, 10, 1, 0, 5, 6, 3, 7, 4, 9, 8}},
      {1, {0}, {0}},
  };
  for (const auto& c : cases) {
    PythonRandom random(c.seed);
    auto items = range(static_cast<std::int64_t>(c.first.size()));
    random.shuffle(items);
    CHECK(items == c.first);
    random.shuffle(items);
    CHECK(items == c.second);
  }
}

TEST_CASE("python random: a list longer than the generator's state", "[tuner]") {
  PythonRandom random(42);
  auto items = range(700);
  random.shuffle(items);
  std::uint64_t digest = 0;
  for (const auto item : items) digest = digest * 1000003u + static_cast<std::uint64_t>(item);
  CHECK(digest == 16937713703190544630u);
}

TEST_CASE("index sampler: drops the remainder and shuffles the order it has again", "[tuner]") {
  IndexSampler sampler(10, 4, 42);
  CHECK(copy(sampler.next()) == std::vector<std::int64_t>{7, 3, 2, 8});
  CHECK(copy(sampler.next()) == std::vector<std::int64_t>{5, 6, 9, 4});
  CHECK(copy(sampler.next()) == std::vector<std::int64_t>{8, 6, 2, 5});
}

TEST_CASE("index sampler: a batch of all samples holds each once, every time", "[tuner]") {
  IndexSampler sampler(5, 5, 7);
  for (int round = 0; round < 3; ++round) {
    auto batch = copy(sampler.next());
    std::sort(batch.begin(), batch.end());
    CHECK(batch == range(5));
  }
}

}  // namespace autoround::tuner
