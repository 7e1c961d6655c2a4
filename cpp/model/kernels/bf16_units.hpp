// bf16 as matrix products want it. The instructions multiply pairs of neighbouring bf16 and add both products to a
// float, so C[m, n] += A[m, k] B[k, n] reads A as units of two neighbours in k, and B as [k / 2][n] units. Only for the
// AVX512-BF16 and AMX translation units.
#pragma once

#include <immintrin.h>

#include "model/kernels/kernels.hpp"

namespace autoround::model::kernels {
namespace {

using Unit = std::uint32_t;  // two bf16: even k in the low half

constexpr std::int64_t kLanes = 16;  // floats in a register

inline const Unit* units(const Bf16* pairs) { return reinterpret_cast<const Unit*>(pairs); }

inline std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
inline std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

/// The first `count` lanes: none for less than one, all for more than there are.
inline __mmask16 lanes(std::int64_t count) {
  return count <= 0 ? __mmask16{0} : count >= kLanes ? __mmask16{0xffff} : static_cast<__mmask16>((1u << count) - 1u);
}

inline __m512 bf16_to_float(__m256i bits) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
inline __m256i float_to_bf16(__m512 x) { return (__m256i)_mm512_cvtneps_pbh(x); }
inline __m256i load_words(const Bf16* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline void store_words(Bf16* p, __m256i x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x); }
inline __m512 load_bf16(const Bf16* p) { return bf16_to_float(load_words(p)); }
inline void store_bf16(Bf16* p, __m512 x) { store_words(p, float_to_bf16(x)); }

inline void prefetch(const Bf16* from) { _mm_prefetch(reinterpret_cast<const char*>(from), _MM_HINT_T0); }
/// `count` elements that are read soon. For rows that lie too far apart for the processor to foresee the next.
inline void prefetch_row(const Bf16* row, std::int64_t count) {
  constexpr std::int64_t line = 32;
  for (std::int64_t i = 0; i < count; i += line) prefetch(row + i);
}
constexpr std::int64_t kRowsAhead = 12;

inline void fill_zero(float* p, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLanes) _mm512_store_ps(p + i, _mm512_setzero_ps());
}

/// Both 64-byte aligned; count is a multiple of 16.
inline void add_to(float* sum, const float* x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    _mm512_store_ps(sum + i, _mm512_add_ps(_mm512_load_ps(sum + i), _mm512_load_ps(x + i)));
  }
}

/// 16 units (even[i], odd[i]).
inline __m512i interleave(__m256i even, __m256i odd) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
}

/// 2^x to 1.3e-7 of itself over the whole range of float.
inline __m512 exp2(__m512 x) {
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(x, whole);
  __m512 p = _mm512_set1_ps(1.327647129e-3f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.675540961e-3f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.550713092e-2f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.402212024e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.931469440e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, whole);
}

/// Rows [count, width] of bf16 as [count / 2][width] units of two rows: operand B when k runs over the rows.
inline void pair_rows(const Bf16* rows, std::int64_t count, std::int64_t width, Unit* out) {
  for (std::int64_t r = 0; r < count; r += 2) {
    for (std::int64_t c = 0; c < width; c += kLanes) {
      const Bf16* even = rows + r * width + c;
      _mm512_storeu_si512(out + r / 2 * width + c, interleave(load_words(even), load_words(even + width)));
    }
  }
}

/// 16 x 16 units transposed in place: a[j] lane i = a[i] lane j.
inline void transpose_16x16(__m512i (&a)[16]) {
  __m512i b[16];
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {  // a[i + j]: column 4 * lane + j of rows i..i+3
    a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
    a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
    a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
    a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
  }
  for (int j = 0; j < 4; ++j) {  // gather the four row groups of each lane
    b[j] = _mm512_shuffle_i32x4(a[j], a[4 + j], 0x88);
    b[4 + j] = _mm512_shuffle_i32x4(a[j], a[4 + j], 0xdd);
    b[8 + j] = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0x88);
    b[12 + j] = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0xdd);
  }
  for (int j = 0; j < 4; ++j) {
    a[j] = _mm512_shuffle_i32x4(b[j], b[8 + j], 0x88);
    a[4 + j] = _mm512_shuffle_i32x4(b[4 + j], b[12 + j], 0x88);
    a[8 + j] = _mm512_shuffle_i32x4(b[j], b[8 + j], 0xdd);
    a[12 + j] = _mm512_shuffle_i32x4(b[4 + j], b[12 + j], 0xdd);
  }
}

/// A matrix of units, or floats, [rows][columns], both multiples of 16, as [columns][out_step]. load(r, c) gives those
/// of row r from column c on.
template <class Load, typename T>
inline void transpose_loaded(const Load& load, std::int64_t rows, std::int64_t columns, T* out, std::int64_t out_step) {
  static_assert(sizeof(T) == 4);
  for (std::int64_t r = 0; r < rows; r += kLanes) {
    for (std::int64_t c = 0; c < columns; c += kLanes) {
      __m512i square[kLanes];
      for (std::int64_t i = 0; i < kLanes; ++i) square[i] = load(r + i, c);
      transpose_16x16(square);
      for (std::int64_t i = 0; i < kLanes; ++i) _mm512_storeu_si512(out + (c + i) * out_step + r, square[i]);
    }
  }
}

template <typename T>
inline void transpose(const T* in, std::int64_t rows, std::int64_t columns, T* out, std::int64_t out_step) {
  const auto load = [&](std::int64_t r, std::int64_t c) { return _mm512_loadu_si512(in + r * columns + c); };
  transpose_loaded(load, rows, columns, out, out_step);
}

}  // namespace
}  // namespace autoround::model::kernels
