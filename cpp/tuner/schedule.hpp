// Learning rates of the signed steps: where they start and how they fall.
// Source: auto-round 0.15.1 sign_round/config.py (start), torch.optim.lr_scheduler.LinearLR (decay).
#pragma once

#include <cstdint>

#include "quant/rounding.hpp"

namespace autoround::tuner {

struct TuneOptions;

/// Steps of a linear decay are 1, 2, ... `iters` times the last, and after so many of them V still fits 16 bits.
constexpr std::int64_t most_iterations_in_ticks = 255;

/// From a first rate linearly to 0 in `iters` steps. Evaluated as torch's LinearLR does on fp32 rates, by
/// multiplication from step to step: the closed form differs in the last bits, and a rate is a distance that rounding
/// values travel.
class LinearDecay {
 public:
  LinearDecay(double rate, std::int64_t iters) : rate_(static_cast<float>(rate)), iters_(iters) {}
  float rate() const noexcept { return rate_; }
  /// That of the last step, at the first: but for last bits all others are multiples of it.
  float least() const noexcept { return rate_ / static_cast<float>(iters_); }
  void advance() noexcept;

 private:
  float rate_;
  std::int64_t iters_;
  std::int64_t step_ = 0;
};

/// The rates of one linear layer, which depend on its bits when they are not given.
class LayerRates {
 public:
  LayerRates(const TuneOptions& options, int bits);
  quant::StepRates current() const noexcept { return {value_.rate(), minmax_.rate()}; }
  void advance() noexcept;
  /// What V is a multiple of, before the first iteration.
  float tick() const noexcept { return value_.least(); }
  /// Of `count` iterations from this one on, fp32 [count, 2]: value, minmax.
  at::Tensor table(std::int64_t count) const;

 private:
  LinearDecay value_, minmax_;
};

}  // namespace autoround::tuner
