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

/// Each lane's value goes `by` lanes down, around the end.
Float turned(Float value, int by) {
  Int from;
  for (int lane = 0; lane < kLanes; ++lane) from[lane] = (lane + by) % kLanes;
  return __builtin_shuffle(value, from);
}
float least_of(Float value) {
  for (int by = kLanes / 2; by > 0; by /= 2) {
    const Float other = turned(value, by);
    value = other < value ? other : value;
  }
  return value[0];
}
float most_of(Float value) { return -least_of(-value); }

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
