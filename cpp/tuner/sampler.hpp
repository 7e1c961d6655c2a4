// The order in which samples form minibatches: auto-round's IndexSampler over Python's `random`, so that a run here
// and a run there with one seed see the same minibatches. One sampler lives as long as the tuning of one block; like
// llm-compressor, which builds a new AutoRound for each decoder layer, every block starts again from the seed.
// Source: auto-round 0.15.1 compressors/utils.py IndexSampler; CPython Lib/random.py, Modules/_randommodule.c.
#pragma once

#include <cstddef>
#include <cstdint>
#include <gsl/span>
#include <random>
#include <vector>

namespace autoround::tuner {

/// The part of Python's random.Random that shuffling needs.
class PythonRandom {
 public:
  /// As random.seed(seed).
  explicit PythonRandom(std::uint64_t seed);
  /// As random.shuffle(items).
  void shuffle(gsl::span<std::int64_t> items);

 private:
  std::uint32_t below(std::uint32_t bound);  // random._randbelow; bound > 0

  std::mt19937 engine_;
};

class IndexSampler {
 public:
  /// Indices 0..samples-1 in batches of `batch`; 0 < batch <= samples.
  IndexSampler(std::int64_t samples, std::int64_t batch, std::uint64_t seed);
  /// The next batch. When fewer than a batch of the shuffled order remain they are dropped and the order is shuffled
  /// again. Valid until the next call.
  gsl::span<const std::int64_t> next();

 private:
  PythonRandom random_;
  std::vector<std::int64_t> order_;
  std::size_t batch_;
  std::size_t position_ = 0;
};

}  // namespace autoround::tuner
