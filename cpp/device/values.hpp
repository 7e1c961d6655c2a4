// What the kernels of the CPU and those of devices both take: types of elements, and how V, the trained rounding values
// of a weight, is kept.
#pragma once

#include <cstdint>

namespace autoround::device {

enum class Element { bf16, f32 };
enum class ScaleType { f16, bf16, f32 };

/// Zeros if both are null; numbers; or whole ticks, half as large. A rate is then rounded to some ticks, and no V may
/// go beyond what 16 bits hold.
struct Values {
  float* numbers = nullptr;
  std::int16_t* ticks = nullptr;
  float tick = 1.f;

  /// The same from element `offset` on.
  Values from(std::int64_t offset) const {
    return {numbers ? numbers + offset : nullptr, ticks ? ticks + offset : nullptr, tick};
  }
};

}  // namespace autoround::device
