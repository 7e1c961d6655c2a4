// Row functions for any CPU: vectors of four floats in the compiler's own notation, which are SSE2 and NEON registers.
#include <string.h>

#include "model/kernels/row_kernels.hpp"
#include "model/kernels/tables.hpp"

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

 private:
  /// Rounded to nearest even, the bf16 in the upper halves.
  static Bits bf16_bits(Float x) {
    const Bits bits = (Bits)x;
    const Bits up = bits + 0x7fffu + ((bits >> 16) & 1u);
    return x == x ? up : bits | 0x400000u;
  }
};

}  // namespace

const RowKernels portable_rows_bf16 = row_kernels<Portable, Bf16>();
const RowKernels portable_rows_fp32 = row_kernels<Portable, float>();

}  // namespace autoround::model::kernels
