// Rows whose codes are floating-point numbers. Part of row_kernels.hpp.
#pragma once

#include "quant/value_kernels.hpp"

namespace autoround::quant::AUTOROUND_ISA {
namespace {

struct FloatCode {
  Float quotient;   // w / s
  Float magnitude;  // of w / s + V, before it is clamped
  Float rounded;    // the magnitude of the code
  Word sign;

  Float value() const { return (Float)((Word)rounded | sign); }
};

/// The code of w / s + V.
FloatCode float_code_of(const FloatRow& row, std::int64_t group, Float weight, Float value) {
  const Float divisor = all(row.divisor[group]);
  FloatCode code;
  code.quotient = row.multiplies ? weight * divisor : weight / divisor;
  const Float moved = code.quotient + value;
  code.sign = (Word)moved & kSignBit;
  code.magnitude = magnitude_of(moved);
  code.rounded = round_to_grid(row.grid, code.magnitude);
  return code;
}

/// Sign, exponent and mantissa of numbers of the grid.
void store_float_codes(std::uint8_t* to, const FloatGrid& grid, const FloatCode& code) {
  const Float least = all(grid.least_normal);
  const int exponent_of_least = static_cast<int>((__builtin_bit_cast(std::uint32_t, grid.least_normal) >> 23));
  const Word bits = (Word)code.rounded >> (23 - grid.mantissa_bits);
  const Word normal = bits - (static_cast<std::uint32_t>(exponent_of_least - 1) << grid.mantissa_bits);
  const float per_unit = static_cast<float>(1 << grid.mantissa_bits) / grid.least_normal;
  const Word subnormal = (Word) __builtin_convertvector(code.rounded * per_unit, Int);
  const Word magnitude = code.rounded < least ? subnormal : normal;
  const Byte bytes = __builtin_convertvector(magnitude | (code.sign >> (32 - grid.bits)), Byte);
  __builtin_memcpy(to, &bytes, sizeof bytes);
}

/// Calls emit(group, code, offset, count) for each register of codes of each group of a row: count == kLanes except at
/// the end of a group.
template <class T, class V, class Emit>
void for_each_float_code(const FloatRow& row, const ValuesOf<V>& values, const Emit& emit) {
  const T* weight = static_cast<const T*>(row.weight);
  for (std::int64_t group = 0, first = 0; first < row.columns; ++group, first += row.group) {
    const std::int64_t last = first + row.group < row.columns ? first + row.group : row.columns;
    for (std::int64_t offset = first; offset < last; offset += kLanes) {
      const V* value = values.data ? values.data + offset : nullptr;
      if (offset % kBlock == 0) {
        fetch_ahead(weight + offset);
        if (value) fetch_ahead(value);
      }
      if (last - offset >= kLanes) {
        const Float v = value ? values.of(load(value)) : Float{};
        emit(group, float_code_of(row, group, load(weight + offset), v), offset, kLanes);
      } else {
        const int count = static_cast<int>(last - offset);
        const Padded<T> w(weight + offset, count);
        const Padded<V> v(value, count);
        emit(group, float_code_of(row, group, load(w.data), values.of(load(v.data))), offset, count);
      }
    }
  }
}

template <class T, bool kRound>
void float_forward_row(const FloatRow& row, T* output) {
  const auto emit = [&](std::int64_t group, const FloatCode& code, std::int64_t offset, int count) {
    if (offset % kBlock == 0) fetch_ahead(output + offset);
    Float product = code.value() * row.scale[group];
    if (kRound) product = round_to_bf16(product);
    if (count == kLanes) return store(output + offset, product);
    T padded[kLanes];
    store(padded, product);
    __builtin_memcpy(output + offset, padded, count * sizeof(T));
  };
  with_values(row.value, [&](const auto& values) { for_each_float_code<T>(row, values, emit); });
}

void float_forward(const FloatRow& row, void* output, bool round_to_bf16_values) {
  if (row.element == Element::bf16) return float_forward_row<Bf16, false>(row, static_cast<Bf16*>(output));
  if (round_to_bf16_values) return float_forward_row<float, true>(row, static_cast<float*>(output));
  float_forward_row<float, false>(row, static_cast<float*>(output));
}

template <class T>
void float_encode_row(const FloatRow& row, std::uint8_t* codes) {
  const auto emit = [&](std::int64_t, const FloatCode& code, std::int64_t offset, int count) {
    if (count == kLanes) return store_float_codes(codes + offset, row.grid, code);
    std::uint8_t padded[kLanes];
    store_float_codes(padded, row.grid, code);
    __builtin_memcpy(codes + offset, padded, count);
  };
  with_values(row.value, [&](const auto& values) { for_each_float_code<T>(row, values, emit); });
}

void float_encode(const FloatRow& row, std::uint8_t* codes) {
  row.element == Element::bf16 ? float_encode_row<Bf16>(row, codes) : float_encode_row<float>(row, codes);
}

/// Steps a register of V. Returns its part of the sum over the group of g s (q - slope w / s), which has the sign of
/// the gradient of s: q is the code, slope that of the rounding, 0 outside the clamp.
/// @param rate counted
template <class T, class V>
Float float_update_vector(const FloatRow& row, const ValuesOf<V>& values, std::int64_t group, const T* weight, V* value,
                          const T* gradient, float rate, std::uint8_t* codes) {
  const Float none{}, up = all(rate), down = -up;
  const Float largest = all(row.grid.largest), least = all(row.grid.least_normal);
  const Float count = load(value);
  const FloatCode code = float_code_of(row, group, load(weight), values.of(count));
  const Float of_code = load(gradient) * row.scale[group];
  Float slope = all(1.f);
  if (row.stops_at_zero) slope = code.magnitude > none ? slope : none;
  if (row.follows_exponent) slope = code.magnitude < least ? slope : code.rounded / code.magnitude;
  slope = code.magnitude > largest ? none : slope;
  const Float of_value = of_code * slope;
  if (codes) store_float_codes(codes, row.grid, code);
  store(value, count - (of_value > none ? up : of_value < none ? down : none));
  return of_code * code.value() - of_value * code.quotient;
}

/// Sums over groups whose lanes are added up one after the other. Many groups wait for that together, as one alone
/// would keep the processor waiting for each of its additions.
class GroupSums {
 public:
  /// @param columns of a group
  GroupSums(std::int64_t columns, float* sums) : lanes_used_(columns < kBlock ? columns : kBlock), sums_(sums) {}
  void add(const Float* lanes) {
    for (int k = 0; k < kVectors; ++k) store(lanes_[waiting_] + k * kLanes, lanes[k]);
    if (++waiting_ == kMost) finish();
  }
  void finish() {
    __builtin_memset(lanes_ + waiting_, 0, (kMost - waiting_) * sizeof lanes_[0]);
    float totals[kMost] = {};
    for (int lane = 0; lane < lanes_used_; ++lane) {
      for (int group = 0; group < kMost; ++group) totals[group] += lanes_[group][lane];
    }
    __builtin_memcpy(sums_, totals, waiting_ * sizeof(float));
    sums_ += waiting_;
    waiting_ = 0;
  }

 private:
  static constexpr int kMost = 16;
  float lanes_[kMost][kBlock];  // those of the first `waiting_`
  std::int64_t lanes_used_;
  float* sums_;
  int waiting_ = 0;
};

template <class T, class V>
void float_update_row(const FloatRow& row, const ValuesOf<V>& values, const T* gradient, float rate,
                      std::uint8_t* codes, float* of_scale) {
  V* const value = values.data;
  const float counted = values.counted(rate);
  const T* weight = static_cast<const T*>(row.weight);
  GroupSums group_sums(row.group, of_scale);
  for (std::int64_t group = 0, first = 0; first < row.columns; ++group, first += row.group) {
    const std::int64_t last = first + row.group < row.columns ? first + row.group : row.columns;
    Float sums[kVectors] = {};
    for (std::int64_t block = first; block < last; block += kBlock) {
      if (block % kBlock == 0) {
        fetch_ahead(weight + block);
        fetch_ahead(value + block);
        if (codes) fetch_ahead(codes + block);
      }
      for (int k = 0; k < kVectors && block + k * kLanes < last; ++k) {
        const std::int64_t offset = block + k * kLanes;
        if (last - offset >= kLanes) {
          sums[k] += float_update_vector(row, values, group, weight + offset, value + offset, gradient + offset,
                                         counted, codes ? codes + offset : nullptr);
          continue;
        }
        const int count = static_cast<int>(last - offset);
        const Padded<T> w(weight + offset, count), g(gradient + offset, count);
        Padded<V> v(value + offset, count);
        std::uint8_t padded[kLanes];
        sums[k] += float_update_vector(row, values, group, w.data, v.data, g.data, counted, codes ? padded : nullptr);
        __builtin_memcpy(value + offset, v.data, count * sizeof(V));
        if (codes) __builtin_memcpy(codes + offset, padded, count);
      }
    }
    if (of_scale) group_sums.add(sums);
  }
  if (of_scale) group_sums.finish();
}

void float_update(const FloatRow& row, const void* gradient, float rate, std::uint8_t* codes, float* of_scale) {
  with_values(row.value, [&](const auto& values) {
    row.element == Element::bf16
        ? float_update_row(row, values, static_cast<const Bf16*>(gradient), rate, codes, of_scale)
        : float_update_row(row, values, static_cast<const float*>(gradient), rate, codes, of_scale);
  });
}

}  // namespace
}  // namespace autoround::quant::AUTOROUND_ISA
