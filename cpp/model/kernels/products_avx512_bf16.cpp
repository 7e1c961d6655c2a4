// Products of packed operands: 6 rows by 64 columns of C in 24 registers, so that 10 loads feed 24 multiplications.
#include "model/kernels/bf16_tile.hpp"
#include "model/kernels/tables.hpp"

namespace autoround::model::kernels {
namespace {

constexpr std::int64_t kVectors = kPanelColumns / kLanes;
/// Pairs that are summed before C's next rows get their turn: 256 KiB of a panel, which stay in the second cache.
constexpr std::int64_t kDepth = 1024;

inline __mmask16 first_units(std::int64_t count) {
  return count <= 0 ? __mmask16{0} : count >= kLanes ? __mmask16{0xffff} : static_cast<__mmask16>((1u << count) - 1u);
}
inline __mmask32 first_words(std::int64_t count) {
  return count <= 0 ? __mmask32{0} : count >= 32 ? ~__mmask32{0} : (__mmask32{1} << count) - 1u;
}

void panel_from_rows(const Bf16Matrix& x, Bf16* panel) {
  auto* out = reinterpret_cast<Unit*>(panel);
  const std::int64_t pairs = x.columns / 2;
  for (std::int64_t row = 0; row < kPanelColumns; row += kLanes) {
    for (std::int64_t pair = 0; pair < pairs; pair += kLanes) {
      const __mmask16 units = first_units(pairs - pair);
      __m512i square[16];
      for (std::int64_t i = 0; i < kLanes; ++i) {
        const bool real = row + i < x.rows;
        prefetch(x.data + (row + i) * x.step + 2 * (pair + 2 * kLanes));
        square[i] =
            _mm512_maskz_loadu_epi32(real ? units : __mmask16{0}, x.data + (real ? (row + i) * x.step : 0) + 2 * pair);
      }
      transpose_16x16(square);
      const std::int64_t count = least(kLanes, pairs - pair);
      for (std::int64_t i = 0; i < count; ++i) {
        _mm512_storeu_si512(out + (pair + i) * kPanelColumns + row, square[i]);
      }
    }
  }
}

/// Two rows of words as units: those of the lower and the upper half of each 128-bit lane belong together.
inline void store_units(__m512i even, __m512i odd, Unit* out) {
  const __m512i low = _mm512_unpacklo_epi16(even, odd), high = _mm512_unpackhi_epi16(even, odd);
  const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11),
                second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  _mm512_storeu_si512(out, _mm512_permutex2var_epi64(low, first, high));
  _mm512_storeu_si512(out + kLanes, _mm512_permutex2var_epi64(low, second, high));
}

void panel_from_columns(const Bf16Matrix& x, Bf16* panel) {
  auto* out = reinterpret_cast<Unit*>(panel);
  const __mmask32 left = first_words(x.columns), right = first_words(x.columns - 32);
  for (std::int64_t row = 0; row < x.rows; row += 2, out += kPanelColumns) {
    const Bf16 *even = x.data + row * x.step, *odd = even + x.step;
    const bool paired = row + 1 < x.rows;
    prefetch_row(even + kRowsAhead * x.step, kPanelColumns);
    prefetch_row(odd + kRowsAhead * x.step, kPanelColumns);
    const __m512i zero = _mm512_setzero_si512();
    store_units(_mm512_maskz_loadu_epi16(left, even), paired ? _mm512_maskz_loadu_epi16(left, odd) : zero, out);
    store_units(_mm512_maskz_loadu_epi16(right, even + 32), paired ? _mm512_maskz_loadu_epi16(right, odd + 32) : zero,
                out + 2 * kLanes);
  }
}

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

enum Place { first_sums = 1, last_sums = 2 };

/// kRows rows of C from `pairs` pairs of k.
template <int kRows, bool kTiles>
inline void multiply_rows(const Product& p, const Bf16* a, const Bf16* b, std::int64_t pairs, std::int64_t row,
                          int place) {
  const std::int64_t row_step = kTiles ? 2 : p.a_row, pair_step = kTiles ? 2 * kTileHeight : 2;
  __m512 sum[kRows][kVectors];
  float* partial = p.partial + row * kPanelColumns;
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v] =
          (place & first_sums) != 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(partial + r * kPanelColumns + v * kLanes);
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
  if ((place & last_sums) == 0) {
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
  using Rows = void (*)(const Product&, const Bf16*, const Bf16*, std::int64_t, std::int64_t, int);
  constexpr Rows of_height[] = {nullptr,
                                multiply_rows<1, kTiles>,
                                multiply_rows<2, kTiles>,
                                multiply_rows<3, kTiles>,
                                multiply_rows<4, kTiles>,
                                multiply_rows<5, kTiles>,
                                multiply_rows<6, kTiles>};
  const std::int64_t pair_step = kTiles ? 2 * kTileHeight : 2;
  const std::int64_t tile_step = kTiles ? p.pairs * pair_step : kTileHeight * p.a_row;
  for (std::int64_t pair = 0; pair < p.pairs; pair += kDepth) {
    const std::int64_t count = least(kDepth, p.pairs - pair);
    const int place = (pair == 0 ? first_sums : 0) | (pair + count == p.pairs ? last_sums : 0);
    const Bf16 *a = p.a + pair * pair_step, *b = p.b + pair * 2 * kPanelColumns;
    for (std::int64_t row = 0; row < p.rows; row += kTileHeight, a += tile_step) {
      of_height[least(kTileHeight, p.rows - row)](p, a, b, count, row, place);
    }
  }
}

void multiply(const Product& p) { p.a_row == 0 ? multiply_all<true>(p) : multiply_all<false>(p); }

}  // namespace

const ProductKernels avx512_bf16_products{panel_from_rows, panel_from_columns, tiles_from_columns, multiply};

}  // namespace autoround::model::kernels
