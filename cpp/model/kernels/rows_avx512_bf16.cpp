// Row functions for AVX-512 with the conversion to bf16 in hardware; what concerns fp32 is rows_avx512.cpp.
#include "model/kernels/avx512.hpp"
#include "model/kernels/row_kernels.hpp"
#include "model/kernels/tables.hpp"

namespace autoround::model::kernels {
namespace {

struct Avx512Bf16 : Avx512 {
  static void store(Bf16* p, Float x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(x));
  }
  static Float round_to_bf16(Float x) {
    const __m512i words = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
  }
};

}  // namespace

const RowKernels avx512_bf16_rows = row_kernels<Avx512Bf16, Bf16>();

}  // namespace autoround::model::kernels
