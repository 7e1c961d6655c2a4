// V in ticks beside V in numbers.
#pragma once

#include <ATen/ATen.h>

#include "quant/rounding.hpp"

namespace autoround::quant::test {

/// A power of two, so that numbers that are multiples of it are exact.
constexpr float kTick = 0x1p-12f;

/// V in numbers, whichever way it is kept.
inline at::Tensor numbers(const RoundingState& state) {
  return state.value.scalar_type() == at::kShort ? state.value.to(at::kFloat) * state.tick : state.value;
}

/// The state with V in ticks, which its numbers are multiples of.
inline RoundingState in_ticks(RoundingState state) {
  state.value = at::round(state.value / kTick).to(at::kShort);
  state.tick = kTick;
  return state;
}

}  // namespace autoround::quant::test
