// bf16 for blocked attention. See attention_blocks.hpp. Only for the AVX512-BF16 and AMX translation units.
#pragma once

#include "model/kernels/bf16_units.hpp"

namespace autoround::model::kernels {
namespace {

struct Bf16Arithmetic {
  using V = Avx512Bf16;
  using Element = Bf16;
  using Unit = kernels::Unit;
  static constexpr std::int64_t per_unit = 2;

  static void copy(const Bf16* x, Bf16* out) { store_words(out, load_words(x)); }
  static __m512i units_of_rows(const Bf16* rows, std::int64_t step) {
    return interleave(load_words(rows), load_words(rows + step));
  }
  static void store_units(Unit* units, const __m512 (&rows)[2]) {
    _mm512_storeu_si512(units, interleave(float_to_bf16(rows[0]), float_to_bf16(rows[1])));
  }

  using Operand = __m512bh;
  static Operand load_operand(const Unit* units) { return (__m512bh)_mm512_loadu_si512(units); }
  static Operand all(Unit unit) { return (__m512bh)_mm512_set1_epi32(static_cast<int>(unit)); }
  static __m512 add_products(__m512 sum, Operand a, Operand b) { return _mm512_dpbf16_ps(sum, a, b); }
};

}  // namespace
}  // namespace autoround::model::kernels
