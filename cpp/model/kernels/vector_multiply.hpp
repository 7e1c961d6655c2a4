// Small products by VDPBF16PS, of what blocked attention has in the first cache. Only for the AVX512-BF16 translation
// unit.
#pragma once

#include "model/kernels/bf16_units.hpp"

namespace autoround::model::kernels {
namespace {

/// How attention multiplies. See attention_blocks.hpp.
class VectorMultiply {
 public:
  struct Use {};  // nothing has to be set up

  /// c[16, columns] (+)= a[16, pairs] b[pairs, columns], the rows a_step, b_step and c_step apart. Columns are a
  /// multiple of 32, pairs of 16.
  template <bool accumulate>
  static void multiply(const Unit* a, std::int64_t a_step, const Unit* b, std::int64_t b_step, std::int64_t pairs,
                       std::int64_t columns, float* c, std::int64_t c_step) {
    for (std::int64_t n = 0; n < columns; n += kColumns) {
      multiply_tile<accumulate>(a, a_step, b + n, b_step, pairs, c + n, c_step);
      multiply_tile<accumulate>(a + kRows * a_step, a_step, b + n, b_step, pairs, c + kRows * c_step + n, c_step);
    }
  }

 private:
  static constexpr std::int64_t kRows = 8;  // 8 x 32 accumulators are 16 registers: enough to hide the latency
  static constexpr std::int64_t kColumns = 32;

  template <bool accumulate>
  static void multiply_tile(const Unit* a, std::int64_t a_step, const Unit* b, std::int64_t b_step, std::int64_t pairs,
                            float* c, std::int64_t c_step) {
    __m512 sum[kRows][2];
#pragma GCC unroll 8
    for (int row = 0; row < kRows; ++row) {
      sum[row][0] = accumulate ? _mm512_loadu_ps(c + row * c_step) : _mm512_setzero_ps();
      sum[row][1] = accumulate ? _mm512_loadu_ps(c + row * c_step + kLanes) : _mm512_setzero_ps();
    }
    for (std::int64_t k = 0; k < pairs; ++k) {
      const __m512bh left = (__m512bh)_mm512_loadu_si512(b + k * b_step);
      const __m512bh right = (__m512bh)_mm512_loadu_si512(b + k * b_step + kLanes);
#pragma GCC unroll 8
      for (int row = 0; row < kRows; ++row) {
        const __m512bh x = (__m512bh)_mm512_set1_epi32(static_cast<int>(a[row * a_step + k]));
        sum[row][0] = _mm512_dpbf16_ps(sum[row][0], x, left);
        sum[row][1] = _mm512_dpbf16_ps(sum[row][1], x, right);
      }
    }
#pragma GCC unroll 8
    for (int row = 0; row < kRows; ++row) {
      _mm512_storeu_ps(c + row * c_step, sum[row][0]);
      _mm512_storeu_ps(c + row * c_step + kLanes, sum[row][1]);
    }
  }
};

}  // namespace
}  // namespace autoround::model::kernels
