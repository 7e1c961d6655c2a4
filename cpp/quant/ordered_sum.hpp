// Sums in the order of at::sum over a contiguous dimension. Part of row_kernels.hpp.
#pragma once

#include "quant/vectors.hpp"

namespace autoround::quant::AUTOROUND_ISA {
namespace {

/// One sum over a group. at::sum adds blocks of 32 lane by lane, every 16 blocks into the next of four levels; whole
/// vectors of eight that are left over go to the first eight lanes; the last elements come before the lanes. One level
/// is enough for groups of fewer than 16 blocks.
/// T has a lane of kBlock in each float of a few registers, or is a register that has one lane of as many sums.
template <class T, int kLevels, int kCount = kVectors>
class OrderedSum {
 public:
  void add(const T* terms) {
    for (int k = 0; k < kCount; ++k) level_[0][k] += terms[k];
  }
  void add(int lane, T term) { level_[0][lane] += term; }

  void carry(std::int64_t blocks_done, int power) {
    const std::int64_t mask = (std::int64_t{1} << power) - 1;
    if (blocks_done & mask) return;
    for (int j = 1; j < kLevels; ++j) {
      for (int k = 0; k < kCount; ++k) {
        level_[j][k] += level_[j - 1][k];
        level_[j - 1][k] = T{};
      }
      if (blocks_done & (mask << (j * power))) return;
    }
  }

  T total(int k) const {
    T sum = level_[0][k];
    for (int j = 1; j < kLevels; ++j) sum += level_[j][k];
    return sum;
  }

 private:
  T level_[kLevels][kCount] = {};
};

/// What follows the blocks, of as many sums as a register has lanes: `lanes` are their totals, `rest` the `count` terms
/// that fill no block.
Float sum_of_lanes(Float* lanes, const Float* rest, int count) {
  const int whole = count / 8 * 8;
  for (int i = 0; i < whole; i += 8) {
    for (int k = 0; k < 8; ++k) lanes[k] += rest[i + k];
  }
  Float total{};
  for (int i = whole; i < count; ++i) total += rest[i];
  for (int k = 0; k < 8; ++k) lanes[k] = ((lanes[k] + lanes[8 + k]) + lanes[16 + k]) + lanes[24 + k];
  for (int k = 0; k < 8; ++k) total += lanes[k];
  return total;
}

/// The same of sums whose lanes lie in registers, one group after the other. Many of them wait for their last additions
/// together, as one alone would keep the processor waiting for each.
class LaneSums {
 public:
  /// @param sums one a group
  void begin(float* sums) {
    sums_ = sums;
    waiting_ = 0;
  }

  /// @param rest the `count` terms that fill no block
  template <int kLevels>
  void add(const OrderedSum<Float, kLevels>& totals, const float* rest, int count) {
    float lanes[kBlock];
    for (int k = 0; k < kVectors; ++k) store(lanes + k * kLanes, totals.total(k));
    Eight sum;
    __builtin_memcpy(&sum, lanes, sizeof sum);
    const int whole = count / 8 * 8;
    for (int i = 0; i < whole; i += 8) add_eight(sum, rest + i);
    for (int i = 8; i < kBlock; i += 8) add_eight(sum, lanes + i);
    float total = 0.f;
    for (int i = whole; i < count; ++i) total += rest[i];
    totals_[waiting_] = total;
    __builtin_memcpy(lanes_[waiting_], &sum, sizeof sum);
    if (++waiting_ == kMost) finish();
  }
  void finish() {
    for (int group = waiting_; group < kMost; ++group) {
      totals_[group] = 0.f;
      for (int k = 0; k < 8; ++k) lanes_[group][k] = 0.f;
    }
    for (int k = 0; k < 8; ++k) {
      for (int group = 0; group < kMost; ++group) totals_[group] += lanes_[group][k];
    }
    __builtin_memcpy(sums_, totals_, static_cast<std::size_t>(waiting_) * sizeof(float));
    sums_ += waiting_;
    waiting_ = 0;
  }

 private:
  static constexpr int kMost = 16;
  using Eight = float __attribute__((vector_size(32)));
  static void add_eight(Eight& sum, const float* from) {
    Eight terms;
    __builtin_memcpy(&terms, from, sizeof terms);
    sum += terms;
  }

  float totals_[kMost], lanes_[kMost][8];  // of the first `waiting_`
  float* sums_;
  int waiting_;
};

/// Whether a group of so many columns needs all levels.
bool is_deep(std::int64_t columns) { return columns >= 16 * kBlock; }

/// Length in blocks of the first level of at::sum, as a power of two.
int level_power(std::int64_t blocks) {
  int log = 0;
  while ((std::int64_t{1} << log) < blocks) ++log;
  return log / 4 > 4 ? log / 4 : 4;
}

}  // namespace
}  // namespace autoround::quant::AUTOROUND_ISA
