// The tile registers: all eight are 16 rows of 64 bytes. Their shapes and contents belong to the thread, and other
// libraries give them other shapes. Only for the AMX translation units.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace autoround::model::kernels {
namespace {

constexpr std::int64_t kTileSide = 16;  // rows of a tile; floats, or pairs of bf16, in one of them

/// What LDTILECFG reads (Intel SDM vol. 1, 18.3).
struct alignas(64) TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileShapes) == 64);
constexpr TileShapes kTileShapes;  // in memory that nobody writes: the compiler does not know how much of it is read

/// While it lives, the thread's registers have these shapes.
class TileRegisters {
 public:
  static void take() { _tile_loadconfig(&kTileShapes); }
  /// Gives them back in their first state, so that the system has nothing to save when it switches threads.
  static void release() { _tile_release(); }

  TileRegisters() { take(); }
  ~TileRegisters() { release(); }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
};

/// The compiler does not know that loads of tiles read memory: what was stored before has to be there.
inline void memory_is_written() { asm volatile("" ::: "memory"); }

}  // namespace
}  // namespace autoround::model::kernels
