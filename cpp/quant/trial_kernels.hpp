// What scales that are tried on a group would cost: a register of trials at a time, so that a short group fills
// registers as well as a long one and no sum crosses lanes. Part of row_kernels.hpp.
#pragma once

#include "quant/float_scale_kernels.hpp"
#include "quant/ordered_sum.hpp"

namespace autoround::quant::AUTOROUND_ISA {
namespace {

struct Trial {
  Float multiplier, scale;  // of values before they are rounded, and of codes
};

Trial trial_of(const Trials& trials, Float factor) {
  if (trials.kind == TrialKind::powers) return {1.f / factor, factor};
  if (trials.kind == TrialKind::integers) {
    const Float multiplier = factor * trials.unit;
    return {multiplier, reciprocal(multiplier, kNextToNothing)};
  }
  const Float multiplier = nvfp4_scale(trials.global_scale, factor * trials.unit).divisor;
  return {multiplier, reciprocal(multiplier)};
}

template <bool kIntegers>
Float code_nearest(const Trials& trials, Float quotient) {
  if (kIntegers) return clamp(round_even(quotient), trials.lowest, trials.highest);
  const Float rounded = round_to_grid(trials.grid, magnitude_of(quotient));
  return (Float)((Word)rounded | ((Word)quotient & kSignBit));
}

template <bool kIntegers, int kLevels>
void trial_errors_of(const Trials& trials, const TrialGroup& group, float* errors) {
  const std::int64_t whole_blocks = group.columns / kBlock;
  const int rest = static_cast<int>(group.columns % kBlock), power = level_power(whole_blocks);
  for (std::int64_t first = 0; first < trials.count; first += kLanes) {
    const Trial trial = trial_of(trials, load(trials.factors + first));
    const auto error = [&](std::int64_t column) {
      const float value = group.values[column];
      const Float difference = trial.scale * code_nearest<kIntegers>(trials, trial.multiplier * value) - value;
      const Float square = difference * difference;
      return group.importance ? square * group.importance[column] : square;
    };
    OrderedSum<Float, kLevels, kBlock> sums;
    for (std::int64_t block = 0; block < whole_blocks; ++block) {
      const std::int64_t offset = block * kBlock, left = group.count - offset;
      for (int lane = 0; lane < (left < kBlock ? left : kBlock); ++lane) sums.add(lane, error(offset + lane));
      if (kLevels > 1) sums.carry(block + 1, power);
    }
    Float lanes[kBlock], tail[kBlock] = {};
    for (int lane = 0; lane < kBlock; ++lane) lanes[lane] = sums.total(lane);
    const std::int64_t offset = whole_blocks * kBlock;
    for (std::int64_t column = offset; column < group.count; ++column) tail[column - offset] = error(column);
    store(errors + first, sum_of_lanes(lanes, tail, rest));
  }
}

void trial_errors(const Trials& trials, const TrialGroup& group, float* errors) {
  if (trials.kind != TrialKind::integers)
    return trial_errors_of<false, 1>(trials, group, errors);  // 32 columns at most
  is_deep(group.columns) ? trial_errors_of<true, 4>(trials, group, errors)
                         : trial_errors_of<true, 1>(trials, group, errors);
}

}  // namespace
}  // namespace autoround::quant::AUTOROUND_ISA
