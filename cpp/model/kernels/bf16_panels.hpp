// Packs the right operand of a product: panels of 64 columns as units of two neighbours in k. A Layout says where in a
// panel of `pairs` pairs the units of 16 neighbouring columns lie: Layout::at(pair, column, pairs). Only for the
// AVX512-BF16 and AMX translation units.
#pragma once

#include "model/kernels/bf16_units.hpp"

namespace autoround::model::kernels {
namespace {

inline __mmask32 first_words(std::int64_t count) {
  return count <= 0 ? __mmask32{0} : count >= 32 ? ~__mmask32{0} : (__mmask32{1} << count) - 1u;
}

template <class Layout>
void panel_from_rows(const Bf16Matrix& x, Bf16* panel) {
  auto* out = reinterpret_cast<Unit*>(panel);
  const std::int64_t real_pairs = x.columns / 2, pairs = round_up(real_pairs, Layout::pair_multiple);
  for (std::int64_t row = 0; row < kPanelColumns; row += kLanes) {
    for (std::int64_t pair = 0; pair < pairs; pair += kLanes) {
      const __mmask16 units = Avx512::first(real_pairs - pair);
      __m512i square[16];
      for (std::int64_t i = 0; i < kLanes; ++i) {
        const bool real = row + i < x.rows;
        prefetch(x.data + (row + i) * x.step + 2 * (pair + 2 * kLanes));
        square[i] =
            _mm512_maskz_loadu_epi32(real ? units : __mmask16{0}, x.data + (real ? (row + i) * x.step : 0) + 2 * pair);
      }
      Avx512::transpose(square);
      const std::int64_t count = least(kLanes, pairs - pair);
      for (std::int64_t i = 0; i < count; ++i) {
        _mm512_storeu_si512(out + Layout::at(pair + i, row, pairs), square[i]);
      }
    }
  }
}

/// Two rows of 32 words as units: those of the lower and the upper half of each 128-bit lane belong together.
inline void store_units(__m512i even, __m512i odd, Unit* first_columns, Unit* last_columns) {
  const __m512i low = _mm512_unpacklo_epi16(even, odd), high = _mm512_unpackhi_epi16(even, odd);
  const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11),
                second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  _mm512_storeu_si512(first_columns, _mm512_permutex2var_epi64(low, first, high));
  _mm512_storeu_si512(last_columns, _mm512_permutex2var_epi64(low, second, high));
}

template <class Layout>
void panel_from_columns(const Bf16Matrix& x, std::int64_t first_pair, std::int64_t pairs, Bf16* panel) {
  auto* out = reinterpret_cast<Unit*>(panel);
  const std::int64_t count = round_up((x.rows + 1) / 2, Layout::pair_multiple);
  for (std::int64_t pair = 0; pair < count; ++pair) {
    const Bf16 *even = x.data + 2 * pair * x.step, *odd = even + x.step;
    prefetch_row(even + kRowsAhead * x.step, kPanelColumns);
    prefetch_row(odd + kRowsAhead * x.step, kPanelColumns);
    for (std::int64_t column = 0; column < kPanelColumns; column += 2 * kLanes) {
      const __mmask32 words = first_words(x.columns - column);
      const __mmask32 upper = 2 * pair < x.rows ? words : 0, lower = 2 * pair + 1 < x.rows ? words : 0;
      store_units(_mm512_maskz_loadu_epi16(upper, even + column), _mm512_maskz_loadu_epi16(lower, odd + column),
                  out + Layout::at(first_pair + pair, column, pairs),
                  out + Layout::at(first_pair + pair, column + kLanes, pairs));
    }
  }
}

}  // namespace
}  // namespace autoround::model::kernels
