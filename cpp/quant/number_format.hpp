// The numbers that weights and inputs are rounded to: integers, and the small floating-point formats of FP8, of the OCP
// Microscaling specification 1.0 and of NVFP4. No LibTorch here: kernels.hpp includes it.
#pragma once

#include <cstdint>
#include <limits>

namespace autoround::quant {

enum class Number {
  integer,
  fp8,    // e4m3fn, a float scale
  mxfp4,  // e2m1; scales are powers of two, stored as e8m0
  mxfp6,  // e2m3, likewise
  mxfp8,  // e4m3, likewise
  nvfp4,  // e2m1; e4m3 scales below one fp32 scale of the tensor
};

/// The values of a floating-point format without infinities: sign, exponent, mantissa.
struct FloatGrid {
  int bits = 8, mantissa_bits = 3;
  float least_normal = 0x1p-6f;  // below it values are as dense as just above it
  float largest = 448.f;
  int largest_exponent = 8;  // floor(log2(largest))
};

inline constexpr FloatGrid e4m3{};
inline constexpr FloatGrid e2m3{6, 3, 1.f, 7.5f, 2};
inline constexpr FloatGrid e2m1{4, 1, 1.f, 6.f, 2};

constexpr bool is_float(Number number) { return number != Number::integer; }
constexpr bool has_power_scales(Number number) {
  return number == Number::mxfp4 || number == Number::mxfp6 || number == Number::mxfp8;
}
/// Of a floating-point format.
constexpr const FloatGrid& grid_of(Number number) {
  if (number == Number::fp8 || number == Number::mxfp8) return e4m3;
  return number == Number::mxfp6 ? e2m3 : e2m1;
}

/// The value of a code: sign, exponent and mantissa from the highest bit down.
float decode(const FloatGrid& grid, std::uint8_t code) noexcept;

/// Of a tensor in NVFP4, from its largest magnitude: what makes the scale of that group the largest of e4m3. Finite for
/// the smallest magnitudes too, as a group of zeros would have no scale else.
constexpr float nvfp4_global_scale(float largest) {
  const float scale = largest == 0.f ? 1.f : e4m3.largest * e2m1.largest * (1.f / largest);
  return scale > std::numeric_limits<float>::max() ? std::numeric_limits<float>::max() : scale;
}

/// e8m0: 2^(code - 127). The least is subnormal in fp32, the last code infinity.
constexpr float decode_power(std::uint8_t code) noexcept {
  return __builtin_bit_cast(float, code == 0 ? 0x00400000u : static_cast<std::uint32_t>(code) << 23);
}

}  // namespace autoround::quant
