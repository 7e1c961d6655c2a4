// Small products by tile registers, of what blocked attention has in the first cache. Only for the AMX translation
// unit.
#pragma once

#include "model/kernels/amx_tiles.hpp"
#include "model/kernels/bf16_arithmetic.hpp"

namespace autoround::model::kernels {
namespace {

/// How attention multiplies. See attention_blocks.hpp.
class TileMultiply {
 public:
  using Arithmetic = Bf16Arithmetic;
  using Use = TileRegisters;

  /// c[16, columns] (+)= a[16, units] b[units, columns], the rows a_step, b_step and c_step apart. Columns are a
  /// multiple of 32, units of 16.
  template <bool accumulate>
  static void multiply(const Unit* a, std::int64_t a_step, const Unit* b, std::int64_t b_step, std::int64_t units,
                       std::int64_t columns, float* c, std::int64_t c_step) {
    memory_is_written();
    std::int64_t n = 0;
    for (; n + 4 * kSide <= columns; n += 4 * kSide) {
      multiply_tiles<accumulate, 4>(a, a_step, b + n, b_step, units, c + n, c_step);
    }
    if (n < columns) multiply_tiles<accumulate, 2>(a, a_step, b + n, b_step, units, c + n, c_step);
  }

 private:
  static constexpr std::int64_t kSide = kTileSide;

  /// Four tiles of C are as many as hide the latency.
  template <bool accumulate, int kTiles>
  static void multiply_tiles(const Unit* a, std::int64_t a_step, const Unit* b, std::int64_t b_step, std::int64_t units,
                             float* c, std::int64_t c_step) {
    const std::int64_t a_bytes = a_step * 4, b_bytes = b_step * 4, c_bytes = c_step * 4;
    if constexpr (accumulate) {
      _tile_loadd(0, c, c_bytes);
      _tile_loadd(1, c + kSide, c_bytes);
      if constexpr (kTiles == 4) {
        _tile_loadd(2, c + 2 * kSide, c_bytes);
        _tile_loadd(3, c + 3 * kSide, c_bytes);
      }
    } else {
      _tile_zero(0);
      _tile_zero(1);
      if constexpr (kTiles == 4) {
        _tile_zero(2);
        _tile_zero(3);
      }
    }
    for (std::int64_t k = 0; k < units; k += kSide) {
      const Unit* right = b + k * b_step;
      _tile_loadd(4, a + k, a_bytes);
      _tile_loadd(5, right, b_bytes);
      _tile_dpbf16ps(0, 4, 5);
      _tile_loadd(6, right + kSide, b_bytes);
      _tile_dpbf16ps(1, 4, 6);
      if constexpr (kTiles == 4) {
        _tile_loadd(5, right + 2 * kSide, b_bytes);
        _tile_dpbf16ps(2, 4, 5);
        _tile_loadd(6, right + 3 * kSide, b_bytes);
        _tile_dpbf16ps(3, 4, 6);
      }
    }
    _tile_stored(0, c, c_bytes);
    _tile_stored(1, c + kSide, c_bytes);
    if constexpr (kTiles == 4) {
      _tile_stored(2, c + 2 * kSide, c_bytes);
      _tile_stored(3, c + 3 * kSide, c_bytes);
    }
  }
};

}  // namespace
}  // namespace autoround::model::kernels
