// What rounding of inputs needs beside what weights do: ranges of groups, scales that follow from them, and the
// gradient where one scale for all clips them. Part of row_kernels.hpp.
#pragma once

#include "quant/scale_kernels.hpp"

namespace autoround::quant::AUTOROUND_ISA {
namespace {

/// The ranges of as many groups at once as a register has lanes.
template <class T>
void range_of(const RowRange& row) {
  const T* values = static_cast<const T*>(row.values);
  Float low[kLanes] = {}, negated_high[kLanes] = {};
  std::int64_t group = 0, waiting = 0;  // groups that are done, and those after them whose lanes are to be reduced
  const auto finish = [&] {
    store(row.smallest + group, least_of_each(low), waiting);
    store(row.largest + group, -least_of_each(negated_high), waiting);
    group += waiting;
    waiting = 0;
  };
  for (std::int64_t first = 0; first < row.columns; first += row.group) {
    const std::int64_t last = first + row.group < row.columns ? first + row.group : row.columns;
    Float least = all(__builtin_inff()), most = -least;
    const auto meet = [&](Float value) {
      least = value < least ? value : least;
      most = value > most ? value : most;
    };
    std::int64_t offset = first;
    for (; offset + kLanes <= last; offset += kLanes) meet(load(values + offset));
    if (offset < last) {
      const int count = static_cast<int>(last - offset);
      const Padded<T> rest(values + offset, count);
      meet(lane_numbers() < count ? load(rest.data) : all(__builtin_nanf("")));  // a NaN is no part of a range
    }
    low[waiting] = least;
    negated_high[waiting] = -most;
    if (++waiting == kLanes) finish();
  }
  if (waiting) finish();
}

void range(const RowRange& row) { row.element == Element::bf16 ? range_of<Bf16>(row) : range_of<float>(row); }

/// The power of two below the magnitude once that is rounded to the mantissa of e2m1, for all formats of the family.
/// fp32 has no place for the smallest powers; loaders then divide by the least that they know.
Float input_power(const FloatGrid& grid, Float magnitude) {
  constexpr std::uint32_t half_step = 1u << (23 - 1 - 1);
  const Int code = (Int)((((Word)magnitude + half_step) & kExponentBits) >> 23) - grid.largest_exponent;
  return power_of_code(code > 254 ? 254 - Int{} : code);
}

/// An e4m3 number below the scale of the tensor.
Float input_nvfp4_scale(const InputScaleRule& rule, Float magnitude) {
  constexpr float epsilon_of_e4m3 = 0.125f;
  const Float stored = round_to_grid(e4m3, rule.global * (magnitude / rule.grid.largest));
  return (stored == Float{} ? all(epsilon_of_e4m3) : stored) / rule.global;
}

void input_scales(const InputScaleRule& rule, const RowRange& ranges, std::int64_t count, float* scale) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const Float low = -load(ranges.smallest + i, count - i), high = load(ranges.largest + i, count - i);
    Float magnitude = low > Float{} ? low : Float{};
    magnitude = high > magnitude ? high : magnitude;
    store(scale + i, rule.powers ? input_power(rule.grid, magnitude) : input_nvfp4_scale(rule, magnitude), count - i);
  }
}

template <class T, bool kWhole>
float clip_gradient_of(const ClippedRow& row) {
  const T *x = static_cast<const T*>(row.x), *rounded = static_cast<const T*>(row.rounded);
  T* const gradient = static_cast<T*>(row.gradient);
  const Float none{}, lowest = all(row.lowest), highest = all(row.highest);
  Float sums[kVectors] = {};
  const auto clip = [&](const T* from, const T* to, T* g, int k) {
    const Float value = load(from), slope = load(g), quotient = value / row.scale;
    const Float code = kWhole ? round_even(quotient) : quotient;
    const Int inside = (code >= lowest) & (code <= highest);
    sums[k] += slope * (load(to) - (inside ? value : none));
    store(g, inside ? slope : none);
  };
  std::int64_t offset = 0;
  for (; offset + kBlock <= row.columns; offset += kBlock) {
    for (int k = 0; k < kVectors; ++k) {
      const std::int64_t at = offset + k * kLanes;
      clip(x + at, rounded + at, gradient + at, k);
    }
  }
  if (offset < row.columns) {
    const int count = static_cast<int>(row.columns - offset);
    const Padded<T> from(x + offset, count), to(rounded + offset, count);
    Padded<T> g(gradient + offset, count);
    for (int k = 0; k < kVectors; ++k) clip(from.data + k * kLanes, to.data + k * kLanes, g.data + k * kLanes, k);
    __builtin_memcpy(gradient + offset, g.data, static_cast<std::size_t>(count) * sizeof(T));
  }
  float total = 0.f;
  for (int k = 0; k < kVectors; ++k) {
    for (int lane = 0; lane < kLanes; ++lane) total += sums[k][lane];
  }
  return total;
}

float clip_gradient(const ClippedRow& row) {
  if (row.element == Element::bf16) {
    return row.whole ? clip_gradient_of<Bf16, true>(row) : clip_gradient_of<Bf16, false>(row);
  }
  return row.whole ? clip_gradient_of<float, true>(row) : clip_gradient_of<float, false>(row);
}

}  // namespace
}  // namespace autoround::quant::AUTOROUND_ISA
