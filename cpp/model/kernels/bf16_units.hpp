// bf16 as matrix products want it. The instructions multiply pairs of neighbouring bf16 and add both products to a
// float, so C[m, n] += A[m, k] B[k, n] reads A as units of two neighbours in k, and B as [k / 2][n] units. Only for the
// AVX512-BF16 and AMX translation units.
#pragma once

#include "model/kernels/avx512_bf16.hpp"
#include "model/kernels/vectors.hpp"

namespace autoround::model::kernels {
namespace {

using Unit = std::uint32_t;  // two bf16: even k in the low half

constexpr std::int64_t kLanes = Avx512::lanes;  // floats in a register

inline __m512 bf16_to_float(__m256i bits) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
inline __m256i float_to_bf16(__m512 x) { return (__m256i)_mm512_cvtneps_pbh(x); }
inline __m256i load_words(const Bf16* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline void store_words(Bf16* p, __m256i x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x); }

/// 16 units (even[i], odd[i]).
inline __m512i interleave(__m256i even, __m256i odd) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
}

}  // namespace
}  // namespace autoround::model::kernels
