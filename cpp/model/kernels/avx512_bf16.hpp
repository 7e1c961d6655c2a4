// AVX-512 with the conversion to bf16 in hardware. Only for the AVX512-BF16 and AMX translation units.
#pragma once

#include "model/kernels/avx512.hpp"

namespace autoround::model::kernels {
namespace {

struct Avx512Bf16 : Avx512 {
  using Avx512::store;
  static void store(Bf16* p, Float x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(x));
  }
  static Float round_to_bf16(Float x) {
    const __m512i words = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
  }
};

}  // namespace
}  // namespace autoround::model::kernels
