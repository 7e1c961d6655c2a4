// V as the elements of a row see it: kept as numbers or in ticks (device::Values), which are counts of a tick. Part of
// row_kernels.hpp.
#pragma once

#include "quant/vectors.hpp"

namespace autoround::quant::AUTOROUND_ISA {
namespace {

/// @tparam V what is kept: float or Tick
template <class V>
struct ValuesOf {
  V* data;     // null: zeros
  float tick;  // of numbers one, which they are not multiplied with

  /// V of a register of counts.
  Float of(Float count) const { return sizeof(V) == sizeof(float) ? count : count * tick; }
  /// What a step changes a count by.
  float counted(float rate) const { return sizeof(V) == sizeof(float) ? rate : round_even(rate / tick); }
};

/// body(a row's V)
template <class Body>
void with_values(const device::Values& values, const Body& body) {
  values.ticks ? body(ValuesOf<Tick>{values.ticks, values.tick}) : body(ValuesOf<float>{values.numbers, 1.f});
}

}  // namespace
}  // namespace autoround::quant::AUTOROUND_ISA
