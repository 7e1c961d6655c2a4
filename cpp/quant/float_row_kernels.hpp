// Rows whose codes are floating-point numbers, and the ranges of rows. Part of row_kernels.hpp.
#pragma once

#include "quant/vectors.hpp"

namespace autoround::quant::AUTOROUND_ISA {
namespace {

constexpr std::uint32_t kSignBit = 0x80000000u, kExponentBits = 0x7f800000u;

struct FloatCode {
  Float quotient;   // w / s
  Float magnitude;  // of w / s + V, before it is clamped
  Float rounded;    // the magnitude of the code
  Word sign;

  Float value() const { return (Float)((Word)rounded | sign); }
};

Float magnitude_of(Float value) { return (Float)((Word)value & ~kSignBit); }

/// The nearest number of the grid, ties to even, to a magnitude of at most the largest.
Float round_to_grid(const FloatGrid& grid, Float magnitude) {
  const Float least = all(grid.least_normal);
  const Float power = (Float)((Word)magnitude & kExponentBits);
  // A number this much larger than the step of the grid around `magnitude` has that step as its own.
  const float to_magic = 0x1.8p23f / static_cast<float>(1 << grid.mantissa_bits);
  const Float magic = (power < least ? least : power) * to_magic;
  return (magnitude + magic) - magic;
}

/// The code of w / s + V.
FloatCode float_code_of(const FloatRow& row, std::int64_t group, Float weight, Float value) {
  const Float divisor = all(row.divisor[group]);
  FloatCode code;
  code.quotient = row.multiplies ? weight * divisor : weight / divisor;
  const Float moved = code.quotient + value;
  code.sign = (Word)moved & kSignBit;
  code.magnitude = magnitude_of(moved);
  const Float largest = all(row.grid.largest);
  code.rounded = round_to_grid(row.grid, code.magnitude > largest ? largest : code.magnitude);
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

/// Calls body(group, offset, count) for each block of each group of a row, as for_each_block does.
template <class R, class Body>
void for_each_float_block(const R& row, const Body& body) {
  for (std::int64_t group = 0, first = 0; first < row.columns; ++group, first += row.group) {
    const std::int64_t last = first + row.group < row.columns ? first + row.group : row.columns;
    for (std::int64_t offset = first; offset < last; offset += kBlock) {
      body(group, offset, last - offset < kBlock ? static_cast<int>(last - offset) : kBlock);
    }
  }
}

template <class T, class Emit>
void float_blocks(const FloatRow& row, const Emit& emit) {
  const T* weight = static_cast<const T*>(row.weight);
  for_each_float_block(row, [&](std::int64_t group, std::int64_t offset, int count) {
    const float* value = row.value ? row.value + offset : nullptr;
    if (offset % kBlock == 0) {
      fetch_ahead(weight + offset);
      if (value) fetch_ahead(value);
    }
    FloatCode codes[kVectors];
    const auto block = [&](const T* w, const float* v) {
      for (int k = 0; k < kVectors; ++k) {
        codes[k] = float_code_of(row, group, load(w + k * kLanes), v ? load(v + k * kLanes) : Float{});
      }
    };
    if (count == kBlock) {
      block(weight + offset, value);
    } else {
      const Padded<T> w(weight + offset, count);
      const Padded<float> v(value, count);
      block(w.data, v.data);
    }
    emit(group, codes, offset, count);
  });
}

template <class T, bool kRound>
void float_forward_row(const FloatRow& row, T* output) {
  float_blocks<T>(row, [&](std::int64_t group, const FloatCode* codes, std::int64_t offset, int count) {
    T padded[kBlock];
    T* to = count == kBlock ? output + offset : padded;
    if (offset % kBlock == 0) fetch_ahead(output + offset);
    for (int k = 0; k < kVectors; ++k) {
      Float product = codes[k].value() * row.scale[group];
      if (kRound) product = round_to_bf16(product);
      store(to + k * kLanes, product);
    }
    if (count != kBlock) __builtin_memcpy(output + offset, padded, count * sizeof(T));
  });
}

void float_forward(const FloatRow& row, void* output, bool round_to_bf16_values) {
  if (row.element == Element::bf16) return float_forward_row<Bf16, false>(row, static_cast<Bf16*>(output));
  if (round_to_bf16_values) return float_forward_row<float, true>(row, static_cast<float*>(output));
  float_forward_row<float, false>(row, static_cast<float*>(output));
}

template <class T>
void float_encode_row(const FloatRow& row, std::uint8_t* codes) {
  float_blocks<T>(row, [&](std::int64_t, const FloatCode* block, std::int64_t offset, int count) {
    std::uint8_t padded[kBlock];
    std::uint8_t* to = count == kBlock ? codes + offset : padded;
    for (int k = 0; k < kVectors; ++k) store_float_codes(to + k * kLanes, row.grid, block[k]);
    if (count != kBlock) __builtin_memcpy(codes + offset, padded, count);
  });
}

void float_encode(const FloatRow& row, std::uint8_t* codes) {
  row.element == Element::bf16 ? float_encode_row<Bf16>(row, codes) : float_encode_row<float>(row, codes);
}

/// Steps one block of V and adds to the sums over its group of g s (q - slope w / s), which has the sign of the
/// gradient of s: q is the code, slope that of the rounding, 0 outside the clamp.
template <class T>
void float_update_block(const FloatRow& row, std::int64_t group, const T* weight, float* value, const T* gradient,
                        float rate, std::uint8_t* codes, Float* sums) {
  const Float none{}, up = all(rate), down = -up;
  const Float largest = all(row.grid.largest), least = all(row.grid.least_normal);
  for (int k = 0; k < kVectors; ++k) {
    const Float v = load(value + k * kLanes);
    const FloatCode code = float_code_of(row, group, load(weight + k * kLanes), v);
    const Float of_code = load(gradient + k * kLanes) * row.scale[group];
    Float slope = all(1.f);
    if (row.stops_at_zero) slope = code.magnitude > none ? slope : none;
    if (row.follows_exponent) slope = code.magnitude < least ? slope : code.rounded / code.magnitude;
    slope = code.magnitude > largest ? none : slope;
    const Float of_value = of_code * slope;
    sums[k] += of_code * code.value() - of_value * code.quotient;
    if (codes) store_float_codes(codes + k * kLanes, row.grid, code);
    store(value + k * kLanes, v - (of_value > none ? up : of_value < none ? down : none));
  }
}

/// The lanes of a block in order.
float sum_of(const Float* sums) {
  float lanes[kBlock];
  for (int k = 0; k < kVectors; ++k) store(lanes + k * kLanes, sums[k]);
  float total = 0.f;
  for (const float lane : lanes) total += lane;
  return total;
}

template <class T>
void float_update_row(const FloatRow& row, float* value, const T* gradient, float rate, std::uint8_t* codes,
                      float* of_scale) {
  const T* weight = static_cast<const T*>(row.weight);
  for (std::int64_t group = 0, first = 0; first < row.columns; ++group, first += row.group) {
    const std::int64_t last = first + row.group < row.columns ? first + row.group : row.columns;
    Float sums[kVectors] = {};
    for (std::int64_t offset = first; offset < last; offset += kBlock) {
      if (offset % kBlock == 0) {
        fetch_ahead(weight + offset);
        fetch_ahead(value + offset);
        if (codes) fetch_ahead(codes + offset);
      }
      if (last - offset >= kBlock) {
        float_update_block(row, group, weight + offset, value + offset, gradient + offset, rate,
                           codes ? codes + offset : nullptr, sums);
        continue;
      }
      const int count = static_cast<int>(last - offset);
      const Padded<T> w(weight + offset, count), g(gradient + offset, count);
      Padded<float> v(value + offset, count);
      std::uint8_t padded[kBlock];
      float_update_block(row, group, w.data, v.data, g.data, rate, codes ? padded : nullptr, sums);
      __builtin_memcpy(value + offset, v.data, count * sizeof(float));
      if (codes) __builtin_memcpy(codes + offset, padded, count);
    }
    if (of_scale) of_scale[group] = sum_of(sums);
  }
}

void float_update(const FloatRow& row, float* value, const void* gradient, float rate, std::uint8_t* codes,
                  float* of_scale) {
  if (row.element == Element::bf16) {
    return float_update_row(row, value, static_cast<const Bf16*>(gradient), rate, codes, of_scale);
  }
  float_update_row(row, value, static_cast<const float*>(gradient), rate, codes, of_scale);
}

template <class T>
void range_of(const RowRange& row) {
  const T* values = static_cast<const T*>(row.values);
  for (std::int64_t group = 0, first = 0; first < row.columns; ++group, first += row.group) {
    const std::int64_t last = first + row.group < row.columns ? first + row.group : row.columns;
    Float low = all(__builtin_inff()), high = -low;
    std::int64_t offset = first;
    for (; offset + kLanes <= last; offset += kLanes) {
      const Float value = load(values + offset);
      low = value < low ? value : low;
      high = value > high ? value : high;
    }
    float lows[kLanes], highs[kLanes];
    store(lows, low);
    store(highs, high);
    float smallest = lows[0], largest = highs[0];
    const auto take = [&](float below, float above) {
      smallest = below < smallest ? below : smallest;
      largest = above > largest ? above : largest;
    };
    for (int k = 1; k < kLanes; ++k) take(lows[k], highs[k]);
    if (offset < last) {
      Padded<T> rest(values + offset, static_cast<int>(last - offset));
      float lanes[kBlock];
      for (int k = 0; k < kVectors; ++k) store(lanes + k * kLanes, load(rest.data + k * kLanes));
      for (std::int64_t i = 0; i < last - offset; ++i) take(lanes[i], lanes[i]);
    }
    row.smallest[group] = smallest;
    row.largest[group] = largest;
  }
}

void range(const RowRange& row) { row.element == Element::bf16 ? range_of<Bf16>(row) : range_of<float>(row); }

}  // namespace
}  // namespace autoround::quant::AUTOROUND_ISA
