#include "tuner/sampler.hpp"

#include <bit>
#include <gsl/assert>
#include <gsl/narrow>
#include <numeric>
#include <utility>

namespace autoround::tuner {
namespace {

/// Fills a Mersenne Twister's state as CPython does: init_by_array over the 32-bit words of the seed. A seed sequence
/// in the sense of the standard library, whose std::mt19937 takes the words as they are.
class PythonSeed {
 public:
  using result_type = std::uint32_t;

  explicit PythonSeed(std::uint64_t seed) : key_{static_cast<std::uint32_t>(seed)} {
    if (const auto high = static_cast<std::uint32_t>(seed >> 32)) key_.push_back(high);
  }

  template <typename Iterator>
  void generate(Iterator state, Iterator end) const {
    const auto n = static_cast<std::size_t>(end - state);
    state[0] = 19650218u;
    for (std::size_t i = 1; i < n; ++i) state[i] = 1812433253u * mixed(state[i - 1]) + static_cast<std::uint32_t>(i);

    std::size_t i = 1, j = 0;
    const auto advance = [&] {
      if (++i == n) {
        state[0] = state[n - 1];
        i = 1;
      }
    };
    for (std::size_t k = std::max(n, key_.size()); k > 0; --k) {
      state[i] = (state[i] ^ (mixed(state[i - 1]) * 1664525u)) + key_[j] + static_cast<std::uint32_t>(j);
      if (++j == key_.size()) j = 0;
      advance();
    }
    for (std::size_t k = n - 1; k > 0; --k) {
      state[i] = (state[i] ^ (mixed(state[i - 1]) * 1566083941u)) - static_cast<std::uint32_t>(i);
      advance();
    }
    state[0] = 0x80000000u;
  }

 private:
  static std::uint32_t mixed(std::uint32_t word) { return word ^ (word >> 30); }

  std::vector<std::uint32_t> key_;
};

std::mt19937 seeded(std::uint64_t seed) {
  PythonSeed words(seed);
  return std::mt19937(words);
}

}  // namespace

PythonRandom::PythonRandom(std::uint64_t seed) : engine_(seeded(seed)) {}

std::uint32_t PythonRandom::below(std::uint32_t bound) {
  const int bits = std::bit_width(bound);
  std::uint32_t value = 0;
  do {
    value = static_cast<std::uint32_t>(engine_()) >> (32 - bits);
  } while (value >= bound);
  return value;
}

void PythonRandom::shuffle(gsl::span<std::int64_t> items) {
  for (std::size_t i = items.size(); i-- > 1;) std::swap(items[i], items[below(gsl::narrow<std::uint32_t>(i + 1))]);
}

IndexSampler::IndexSampler(std::int64_t samples, std::int64_t batch, std::uint64_t seed)
    : random_(seed), order_(gsl::narrow<std::size_t>(samples)), batch_(gsl::narrow<std::size_t>(batch)) {
  Expects(batch_ > 0 && batch_ <= order_.size());
  std::iota(order_.begin(), order_.end(), std::int64_t{0});
  random_.shuffle(order_);
}

gsl::span<const std::int64_t> IndexSampler::next() {
  if (position_ + batch_ > order_.size()) {
    random_.shuffle(order_);
    position_ = 0;
  }
  const auto first = std::exchange(position_, position_ + batch_);
  return gsl::span<const std::int64_t>(order_).subspan(first, batch_);
}

}  // namespace autoround::tuner
