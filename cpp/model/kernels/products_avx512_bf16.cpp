// Products of packed operands: 6 rows by 64 columns of C in 24 registers, so that 10 loads feed 24 multiplications.
#include "model/kernels/bf16_panels.hpp"
#include "model/kernels/tables.hpp"

namespace autoround::model::kernels {
namespace {

constexpr std::int64_t kVectors = kPanelColumns / kLanes;
constexpr std::int64_t kTileHeight = 6;

struct PairRows {
  static constexpr std::int64_t pair_multiple = 1;
  static std::int64_t at(std::int64_t pair, std::int64_t column, std::int64_t) { return pair * kPanelColumns + column; }
};

void tiles_from_columns(const Bf16Matrix& x, Bf16* tiles) {
  auto* out = reinterpret_cast<Unit*>(tiles);
  const std::int64_t pairs = (x.rows + 1) / 2, height = kTileHeight;
  constexpr std::int64_t strip = 16;  // pairs of rows at once, so that their lines of cache serve all tiles
  for (std::int64_t first = 0; first < pairs; first += strip) {
    const std::int64_t end = least(pairs, first + strip);
    for (std::int64_t column = 0; column < x.columns; column += height) {
      const auto words = static_cast<__mmask8>((1u << least(height, x.columns - column)) - 1u);
      Unit* tile = out + column * pairs;
      for (std::int64_t pair = first; pair < end; ++pair) {
        const Bf16* even = x.data + 2 * pair * x.step + column;
        if (column % 32 < height) {  // once a line of cache: the processor does not foresee such long steps itself
          prefetch(even + 2 * strip * x.step);
          prefetch(even + (2 * strip + 1) * x.step);
        }
        const __m128i top = _mm_maskz_loadu_epi16(words, even);
        const __m128i bottom =
            2 * pair + 1 < x.rows ? _mm_maskz_loadu_epi16(words, even + x.step) : _mm_setzero_si128();
        const __m256i units = _mm256_set_m128i(_mm_unpackhi_epi16(top, bottom), _mm_unpacklo_epi16(top, bottom));
        // The last strip of a tile may not write into the next tile, whose first pairs are there already.
        _mm256_mask_storeu_epi32(tile + pair * height, 0x3f, units);
      }
    }
  }
}

inline Unit load_unit(const Bf16* from) {
  Unit unit;
  __builtin_memcpy(&unit, from, sizeof unit);
  return unit;
}

/// kRows rows of C.
template <int kRows, bool kTiles>
inline void multiply_rows(const Product& p, const Bf16* a, const Bf16* b, std::int64_t row) {
  const std::int64_t pairs = p.end - p.begin, row_step = kTiles ? 2 : p.a_row, pair_step = kTiles ? 2 * kTileHeight : 2;
  __m512 sum[kRows][kVectors];
  float* partial = p.partial + row * kPanelColumns;
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v] = p.begin == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(partial + r * kPanelColumns + v * kLanes);
    }
  }
#pragma GCC unroll 2
  for (std::int64_t k = 0; k < pairs; ++k, b += 2 * kPanelColumns, a += pair_step) {
    if (!kTiles && k % 16 == 0) {  // once a line of cache: the rows below these are next
      for (int r = 0; r < kRows; ++r) prefetch(a + (kRows + r) * row_step);
    }
    __m512bh right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) right[v] = (__m512bh)_mm512_loadu_si512(b + v * 2 * kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const __m512bh left = (__m512bh)_mm512_set1_epi32(static_cast<int>(load_unit(a + r * row_step)));
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], left, right[v]);
    }
  }
  if (p.end < p.pairs) {
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(partial + r * kPanelColumns + v * kLanes, sum[r][v]);
    }
    return;
  }
  const __mmask32 columns[2] = {first_words(p.columns), first_words(p.columns - 32)};
  if (p.bias != nullptr) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const auto words = static_cast<__mmask16>(columns[v / 2] >> (v % 2 * kLanes));
      const __m512 bias = bf16_to_float(_mm256_maskz_loadu_epi16(words, p.bias + v * kLanes));
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r) sum[r][v] = _mm512_add_ps(sum[r][v], bias);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    Bf16* c = p.c + (row + r) * p.c_row;
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m512bh rounded = _mm512_cvtne2ps_pbh(sum[r][2 * half + 1], sum[r][2 * half]);
      _mm512_mask_storeu_epi16(c + half * 32, columns[half], (__m512i)rounded);
    }
  }
}

template <bool kTiles>
void multiply_all(const Product& p) {
  using Rows = void (*)(const Product&, const Bf16*, const Bf16*, std::int64_t);
  constexpr Rows of_height[] = {nullptr,
                                multiply_rows<1, kTiles>,
                                multiply_rows<2, kTiles>,
                                multiply_rows<3, kTiles>,
                                multiply_rows<4, kTiles>,
                                multiply_rows<5, kTiles>,
                                multiply_rows<6, kTiles>};
  const std::int64_t pair_step = kTiles ? 2 * kTileHeight : 2;
  const std::int64_t tile_step = kTiles ? p.pairs * pair_step : kTileHeight * p.a_row;
  const Bf16 *a = p.a + p.begin * pair_step, *b = p.b + p.begin * 2 * kPanelColumns;
  for (std::int64_t row = 0; row < p.rows; row += kTileHeight, a += tile_step) {
    of_height[least(kTileHeight, p.rows - row)](p, a, b, row);
  }
}

void multiply(const Product& p) { p.a_row == 0 ? multiply_all<true>(p) : multiply_all<false>(p); }

void nothing() {}

}  // namespace

const ProductKernels avx512_bf16_products{
    // 256 KiB of a panel stay in the second cache.
    {.tile_rows = kTileHeight, .pair_multiple = 1, .depth = 1024, .slice_rows = 96, .group_bytes = 0},
    panel_from_rows<PairRows>,
    panel_from_columns<PairRows>,
    tiles_from_columns,
    nothing,
    nothing,
    multiply};

}  // namespace autoround::model::kernels
