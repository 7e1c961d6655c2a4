// Vectors of 8 floats: AVX2 and FMA. Only for the AVX2 translation units.
#pragma once

#include <immintrin.h>

#include "model/kernels/kernels.hpp"

namespace autoround::model::kernels {
namespace {

struct Avx2 {
  static constexpr std::int64_t lanes = 8;
  using Float = __m256;

  static Float all(float x) { return _mm256_set1_ps(x); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static float sum(Float x) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
  }

  static Float load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Float x) { _mm256_storeu_ps(p, x); }

  static Float reciprocal(Float x) { return _mm256_div_ps(all(1.0f), x); }

  // min and max return their second operand when there is a NaN.
  static Float limit(Float x, float low, float high) { return _mm256_min_ps(all(high), _mm256_max_ps(all(low), x)); }
  static Float relu(Float x) { return _mm256_max_ps(all(0.0f), x); }
  static Float above_zero(Float x) { return _mm256_and_ps(_mm256_cmp_ps(x, all(0.0f), _CMP_GT_OQ), all(1.0f)); }
  static Float times_power_of_two(Float x, Float whole) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
  }

  using Mask = __m256i;
  static Mask between(std::int64_t first, std::int64_t end) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_andnot_si256(_mm256_cmpgt_epi32(all_lanes(first), lane), _mm256_cmpgt_epi32(all_lanes(end), lane));
  }
  static Float select(Mask mask, Float x, Float other) { return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(mask)); }
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  static float highest(Float x) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
  }
  static Float nearest(Float x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static Float exponent(Float x) { return limit(x, -126.0f, 127.0f); }

  using Words = __m256i;
  static Words load_words(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static void store_words(void* p, Words x) { _mm256_storeu_si256(static_cast<__m256i*>(p), x); }
  static void transpose(Words (&a)[lanes]) {
    Words b[lanes];
    for (int i = 0; i < 8; i += 2) {
      b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
      b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {  // a[i + j]: columns j and 4 + j of rows i..i+3
      a[i] = _mm256_unpacklo_epi64(b[i], b[i + 2]);
      a[i + 1] = _mm256_unpackhi_epi64(b[i], b[i + 2]);
      a[i + 2] = _mm256_unpacklo_epi64(b[i + 1], b[i + 3]);
      a[i + 3] = _mm256_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    for (int j = 0; j < 4; ++j) {
      const Words upper = _mm256_permute2x128_si256(a[j], a[4 + j], 0x31);
      a[j] = _mm256_permute2x128_si256(a[j], a[4 + j], 0x20);
      a[4 + j] = upper;
    }
  }

 private:
  static __m256i all_lanes(std::int64_t count) { return _mm256_set1_epi32(static_cast<int>(count)); }
};

}  // namespace
}  // namespace autoround::model::kernels
