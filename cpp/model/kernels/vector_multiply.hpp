// Small products by vector registers, of what blocked attention has in the first cache.
#pragma once

#include "model/kernels/vectors.hpp"

namespace autoround::model::kernels {
namespace {

/// How attention multiplies. See attention_blocks.hpp.
template <class A>
class VectorMultiply {
  using V = typename A::V;
  using Unit = typename A::Unit;

 public:
  using Arithmetic = A;
  struct Use {};  // nothing has to be set up

  /// c[16, columns] (+)= a[16, units] b[units, columns], the rows a_step, b_step and c_step apart. Columns are a
  /// multiple of 32, units of 16.
  template <bool accumulate>
  static void multiply(const Unit* a, std::int64_t a_step, const Unit* b, std::int64_t b_step, std::int64_t units,
                       std::int64_t columns, float* c, std::int64_t c_step) {
    for (std::int64_t n = 0; n < columns; n += kTileColumns) {
      for (std::int64_t row = 0; row < 16; row += kRows) {
        multiply_tile<accumulate>(a + row * a_step, a_step, b + n, b_step, units, c + row * c_step + n, c_step);
      }
    }
  }

 private:
  // As many sums as hide the latency, or as there are registers for: 32 with AVX-512, 16 without.
  static constexpr std::int64_t kRows = V::lanes == 16 ? 8 : 4;
  static constexpr std::int64_t kTileColumns = 2 * V::lanes;

  template <bool accumulate>
  static void multiply_tile(const Unit* a, std::int64_t a_step, const Unit* b, std::int64_t b_step, std::int64_t units,
                            float* c, std::int64_t c_step) {
    typename V::Float sum[kRows][2];
#pragma GCC unroll 8
    for (int row = 0; row < kRows; ++row) {
      sum[row][0] = accumulate ? V::load(c + row * c_step) : V::all(0.0f);
      sum[row][1] = accumulate ? V::load(c + row * c_step + V::lanes) : V::all(0.0f);
    }
    for (std::int64_t k = 0; k < units; ++k) {
      const auto left = A::load_operand(b + k * b_step), right = A::load_operand(b + k * b_step + V::lanes);
#pragma GCC unroll 8
      for (int row = 0; row < kRows; ++row) {
        const auto x = A::all(a[row * a_step + k]);
        sum[row][0] = A::add_products(sum[row][0], x, left);
        sum[row][1] = A::add_products(sum[row][1], x, right);
      }
    }
#pragma GCC unroll 8
    for (int row = 0; row < kRows; ++row) {
      V::store(c + row * c_step, sum[row][0]);
      V::store(c + row * c_step + V::lanes, sum[row][1]);
    }
  }
};

}  // namespace
}  // namespace autoround::model::kernels
