// Vectors of 16 floats: AVX-512 F, BW, VL and DQ. Only for the AVX-512 translation units.
#pragma once

#include <immintrin.h>

#include "model/kernels/kernels.hpp"

namespace autoround::model::kernels {
namespace {

struct Avx512 {
  static constexpr std::int64_t lanes = 16;
  using Float = __m512;

  static Float all(float x) { return _mm512_set1_ps(x); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static float sum(Float x) { return _mm512_reduce_add_ps(x); }

  static Float load(const float* p) { return _mm512_loadu_ps(p); }
  static Float load(const Bf16* p) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
  static void store(float* p, Float x) { _mm512_storeu_ps(p, x); }

  /// 1 / x for normal x with a normal result: the estimate of 14 bits and one step of Newton's.
  static Float reciprocal(Float x) {
    const Float estimate = _mm512_rcp14_ps(x);
    return _mm512_mul_ps(estimate, _mm512_fnmadd_ps(x, estimate, all(2.0f)));
  }

  // min and max return their second operand when there is a NaN.
  static Float limit(Float x, float low, float high) { return _mm512_min_ps(all(high), _mm512_max_ps(all(low), x)); }
  static Float relu(Float x) { return _mm512_max_ps(all(0.0f), x); }
  static Float above_zero(Float x) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, all(0.0f), _CMP_GT_OQ), all(1.0f));
  }
  static Float times_power_of_two(Float x, Float whole) { return _mm512_scalef_ps(x, whole); }

  using Mask = __mmask16;
  /// The first `count` lanes: none for less than one, all for more than there are.
  static Mask first(std::int64_t count) {
    return count <= 0 ? Mask{0} : count >= lanes ? Mask{0xffff} : static_cast<Mask>((1u << count) - 1u);
  }
  static Mask between(std::int64_t begin, std::int64_t end) { return static_cast<Mask>(first(end) & ~first(begin)); }
  static Float select(Mask mask, Float x, Float other) { return _mm512_mask_mov_ps(other, mask, x); }
  static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  static float highest(Float x) { return _mm512_reduce_max_ps(x); }
  static Float nearest(Float x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static Float exponent(Float x) { return x; }

  using Words = __m512i;
  static Words load_words(const void* p) { return _mm512_loadu_si512(p); }
  static void store_words(void* p, Words x) { _mm512_storeu_si512(p, x); }
  static void transpose(Words (&a)[lanes]) {
    Words b[lanes];
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
};

}  // namespace
}  // namespace autoround::model::kernels
