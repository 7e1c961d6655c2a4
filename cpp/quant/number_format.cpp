#include "quant/number_format.hpp"

#include <cmath>

namespace autoround::quant {

float decode(const FloatGrid& grid, std::uint8_t code) noexcept {
  const int exponent_bits = grid.bits - 1 - grid.mantissa_bits;
  const int mantissa = code & ((1 << grid.mantissa_bits) - 1);
  const int exponent = (code >> grid.mantissa_bits) & ((1 << exponent_bits) - 1);
  const float fraction = std::ldexp(static_cast<float>(mantissa), -grid.mantissa_bits);
  const float magnitude =
      exponent == 0 ? grid.least_normal * fraction : std::ldexp(grid.least_normal * (1.f + fraction), exponent - 1);
  return (code >> (grid.bits - 1)) & 1 ? -magnitude : magnitude;
}

}  // namespace autoround::quant
