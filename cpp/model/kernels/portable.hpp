// Vectors of four floats in the compiler's own notation, which are SSE2 and NEON registers.
#pragma once

#include <string.h>

#include "model/kernels/kernels.hpp"

namespace autoround::model::kernels {
namespace {

struct Portable {
  static constexpr std::int64_t lanes = 4;
  using Float = float __attribute__((vector_size(16)));
  using Bits = std::uint32_t __attribute__((vector_size(16)));
  using Whole = std::int32_t __attribute__((vector_size(16)));
  using Halves = Bf16 __attribute__((vector_size(8)));

  static Float all(float x) { return Float{x, x, x, x}; }
  static Float fma(Float a, Float b, Float c) { return a * b + c; }
  static float sum(Float x) { return (x[0] + x[2]) + (x[1] + x[3]); }

  static Float load(const float* p) {
    Float x;
    memcpy(&x, p, sizeof x);
    return x;
  }
  static Float load(const Bf16* p) {
    Halves halves;
    memcpy(&halves, p, sizeof halves);
    return (Float)(__builtin_convertvector(halves, Bits) << 16);
  }
  static void store(float* p, Float x) { memcpy(p, &x, sizeof x); }
  static void store(Bf16* p, Float x) {
    const Halves halves = __builtin_convertvector(bf16_bits(x) >> 16, Halves);
    memcpy(p, &halves, sizeof halves);
  }
  static Float round_to_bf16(Float x) { return (Float)(bf16_bits(x) & 0xffff0000u); }

  static Float reciprocal(Float x) { return 1.0f / x; }
  static Float limit(Float x, float low, float high) {
    x = x < all(low) ? all(low) : x;
    return x > all(high) ? all(high) : x;
  }
  static Float relu(Float x) { return x < all(0.0f) ? all(0.0f) : x; }
  static Float above_zero(Float x) { return x > all(0.0f) ? all(1.0f) : all(0.0f); }
  static Float times_power_of_two(Float x, Float whole) {
    return x * (Float)((__builtin_convertvector(whole, Whole) + 127) << 23);
  }

  using Mask = Whole;
  static Mask between(std::int64_t first, std::int64_t end) {
    const Whole lane{0, 1, 2, 3};
    return (lane >= static_cast<std::int32_t>(first)) & (lane < static_cast<std::int32_t>(end));
  }
  static Float select(Mask mask, Float x, Float other) { return mask ? x : other; }
  static Float max(Float a, Float b) { return a > b ? a : b; }
  static float highest(Float x) {
    const float even = x[0] > x[2] ? x[0] : x[2], odd = x[1] > x[3] ? x[1] : x[3];
    return even > odd ? even : odd;
  }
  static Float nearest(Float x) {  // of what exponent() gave: adding 1.5 * 2^23 rounds to a whole number
    return (x + 12582912.0f) - 12582912.0f;
  }
  static Float exponent(Float x) { return limit(x, -126.0f, 127.0f); }

  using Words = Bits;
  static Words load_words(const void* p) {
    Words x;
    memcpy(&x, p, sizeof x);
    return x;
  }
  static void store_words(void* p, Words x) { memcpy(p, &x, sizeof x); }
  static void transpose(Words (&a)[lanes]) {
    const auto column = [&](int c) { return Words{a[0][c], a[1][c], a[2][c], a[3][c]}; };
    const Words turned[lanes] = {column(0), column(1), column(2), column(3)};
    for (int row = 0; row < lanes; ++row) a[row] = turned[row];
  }

 private:
  /// Rounded to nearest even, the bf16 in the upper halves.
  static Bits bf16_bits(Float x) {
    const Bits bits = (Bits)x;
    const Bits up = bits + 0x7fffu + ((bits >> 16) & 1u);
    return x == x ? up : bits | 0x400000u;
  }
};

}  // namespace
}  // namespace autoround::model::kernels
