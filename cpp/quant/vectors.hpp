// Vectors of the instruction set that a file is compiled for: AUTOROUND_ISA names its namespace, AUTOROUND_LANES the
// floats in a register. Everything has internal linkage and nothing of the standard library is instantiated, so that no
// function compiled for a newer processor is shared with other files.
#pragma once

#include "quant/kernels.hpp"

namespace autoround::quant::AUTOROUND_ISA {
namespace {

constexpr int kLanes = AUTOROUND_LANES;
constexpr int kBlock = 32;  // columns that are processed together: four vectors of eight, the unit of at::sum
constexpr int kVectors = kBlock / kLanes;

using Float = float __attribute__((vector_size(kLanes * 4)));
using Word = std::uint32_t __attribute__((vector_size(kLanes * 4)));
using Int = std::int32_t __attribute__((vector_size(kLanes * 4)));
using Short = std::uint16_t __attribute__((vector_size(kLanes * 2)));
using Tick = std::int16_t;
using Ticks = Tick __attribute__((vector_size(kLanes * 2)));
using Byte = std::uint8_t __attribute__((vector_size(kLanes)));

using Bf16 = std::uint16_t;

Float load(const float* from) {
  Float value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}
Float load(const Bf16* from) {
  Short bits;
  __builtin_memcpy(&bits, from, sizeof bits);
  return (Float)(__builtin_convertvector(bits, Word) << 16);
}
Float load(const Tick* from) {
  Ticks ticks;
  __builtin_memcpy(&ticks, from, sizeof ticks);
  return __builtin_convertvector(__builtin_convertvector(ticks, Int), Float);
}
void store(float* to, Float value) { __builtin_memcpy(to, &value, sizeof value); }
/// Of a whole number.
void store(Tick* to, Float value) {
  const Ticks ticks = __builtin_convertvector(__builtin_convertvector(value, Int), Ticks);
  __builtin_memcpy(to, &ticks, sizeof ticks);
}

/// The bits of the nearest bf16, ties to even, in the low half of each word. A NaN that arithmetic made stays one.
Word bf16_bits(Float value) {
  const Word bits = (Word)value;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}
void store(Bf16* to, Float value) {
  const Short bits = __builtin_convertvector(bf16_bits(value), Short);
  __builtin_memcpy(to, &bits, sizeof bits);
}

/// Brings nearer what lies some blocks on: rows follow each other in memory, and no processor foresees all of them.
template <class T>
void fetch_ahead(const T* from) {
  constexpr std::int64_t ahead = 32 * kBlock;
  const auto* line = reinterpret_cast<const char*>(from + ahead);
  for (std::size_t i = 0; i < kBlock * sizeof(T); i += 64) __builtin_prefetch(line + i);
}

Float all(float value) { return value - Float{}; }

constexpr std::uint32_t kSignBit = 0x80000000u, kExponentBits = 0x7f800000u;
Float magnitude_of(Float value) { return (Float)((Word)value & ~kSignBit); }

/// Zero for values of a magnitude below `least`, which are zeros unless it is given.
Float reciprocal(Float value, float least = 0x1p-149f) {
  return magnitude_of(value) >= all(least) ? 1.f / value : Float{};
}

/// The nearest number of the grid, ties to even: beyond the largest that one.
Float round_to_grid(const FloatGrid& grid, Float magnitude) {
  const Float least = all(grid.least_normal), largest = all(grid.largest);
  magnitude = magnitude > largest ? largest : magnitude;
  const Float power = (Float)((Word)magnitude & kExponentBits);
  // A number this much larger than the step of the grid around `magnitude` has that step as its own.
  const float to_magic = 0x1.8p23f / static_cast<float>(1 << grid.mantissa_bits);
  const Float magic = (power < least ? least : power) * to_magic;
  return (magnitude + magic) - magic;
}

/// 2^(code - 127) as fp32 has it: the least is subnormal.
Float power_of_code(Int code) { return (Float)(code < 1 ? 0x00400000u - Word{} : (Word)code << 23); }

Float round_to_bf16(Float value) { return (Float)(bf16_bits(value) << 16); }
/// The nearest fp16 value, ties to even: normal, subnormal (steps of 2^-24, the ulp of 0.5) and overflow to infinity.
Float round_to_f16(Float value) {
  const Word sign = (Word)value & 0x80000000u, bits = (Word)value & 0x7fffffffu;
  const Float magnitude = (Float)bits;
  const Float normal = (Float)((bits + 0xfffu + ((bits >> 13) & 1u)) & 0xffffe000u);
  const Float subnormal = (magnitude + 0.5f) - 0.5f;
  Float rounded = magnitude < all(0x1p-14f) ? subnormal : normal;
  rounded = magnitude >= all(65520.f) ? all(__builtin_inff()) : rounded;
  rounded = magnitude != magnitude ? magnitude : rounded;
  return (Float)((Word)rounded | sign);
}

Float clamp(Float value, float low, float high) {
  const Float floor = all(low), ceiling = all(high);
  value = value < floor ? floor : value;
  return value > ceiling ? ceiling : value;
}

Int lane_numbers() {
  Int numbers;
  for (int lane = 0; lane < kLanes; ++lane) numbers[lane] = lane;
  return numbers;
}

/// In lane i the least of registers[i], which are used up. In each step two registers become one, whose lanes have met
/// their neighbours at a distance of kBit.
template <int kBit = 1>
Float least_of_each(Float (&registers)[kLanes]) {
  if constexpr (kBit == kLanes) {
    return registers[0];
  } else {
    const Int lane = lane_numbers(), of_second = (lane & kBit) * (kLanes / kBit);
    for (int i = 0; i < kLanes; i += 2 * kBit) {
      const Float lower = __builtin_shuffle(registers[i], registers[i + kBit], (lane & ~kBit) + of_second);
      const Float upper = __builtin_shuffle(registers[i], registers[i + kBit], (lane | kBit) + of_second);
      registers[i] = upper < lower ? upper : lower;
    }
    return least_of_each<2 * kBit>(registers);
  }
}

/// Nearest integer, ties to even, never -0, for magnitudes below 2^22.
template <class T>
T round_even(T value) {
  constexpr float kMagic = 0x1.8p23f;
  return (value + kMagic) - kMagic;
}

/// Up to a block of elements copied out of a row and padded with zeros, so that ends of groups take the same path.
template <class T>
struct Padded {
  T data[kBlock] = {};
  Padded(const T* from, int count) {
    if (from) __builtin_memcpy(data, from, count * sizeof(T));
  }
};

}  // namespace
}  // namespace autoround::quant::AUTOROUND_ISA
