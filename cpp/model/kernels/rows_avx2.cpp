// Row functions for AVX2 with FMA.
#include <immintrin.h>

#include "model/kernels/row_kernels.hpp"
#include "model/kernels/tables.hpp"

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
  static Float load(const Bf16* p) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  static void store(float* p, Float x) { _mm256_storeu_ps(p, x); }
  static void store(Bf16* p, Float x) {
    const __m256i words = _mm256_srli_epi32(bf16_bits(x), 16);
    const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), halves);
  }
  static Float round_to_bf16(Float x) {
    return _mm256_castsi256_ps(_mm256_and_si256(bf16_bits(x), _mm256_set1_epi32(static_cast<int>(0xffff0000u))));
  }

  static Float reciprocal(Float x) { return _mm256_div_ps(all(1.0f), x); }

  // min and max return their second operand when there is a NaN.
  static Float limit(Float x, float low, float high) { return _mm256_min_ps(all(high), _mm256_max_ps(all(low), x)); }
  static Float relu(Float x) { return _mm256_max_ps(all(0.0f), x); }
  static Float above_zero(Float x) { return _mm256_and_ps(_mm256_cmp_ps(x, all(0.0f), _CMP_GT_OQ), all(1.0f)); }
  static Float times_power_of_two(Float x, Float whole) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
  }

 private:
  /// Rounded to nearest even, the bf16 in the upper halves.
  static __m256i bf16_bits(Float x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    return _mm256_blendv_epi8(up, quiet, _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
  }
};

}  // namespace

const RowKernels avx2_rows_bf16 = row_kernels<Avx2, Bf16>();
const RowKernels avx2_rows_fp32 = row_kernels<Avx2, float>();

}  // namespace autoround::model::kernels
