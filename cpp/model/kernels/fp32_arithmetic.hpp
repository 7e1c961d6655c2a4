// fp32 for blocked attention, with any registers (vectors.hpp). See attention_blocks.hpp.
#pragma once

#include "model/kernels/vectors.hpp"

namespace autoround::model::kernels {
namespace {

template <class Registers>
struct Fp32Arithmetic {
  using V = Registers;
  using Element = float;
  using Unit = float;
  static constexpr std::int64_t per_unit = 1;

  static void copy(const float* x, float* out) { V::store(out, V::load(x)); }
  static typename V::Words units_of_rows(const float* rows, std::int64_t /*step*/) { return V::load_words(rows); }
  static void store_units(float* units, const typename V::Float (&rows)[1]) { V::store(units, rows[0]); }

  using Operand = typename V::Float;
  static Operand load_operand(const float* units) { return V::load(units); }
  static Operand all(float unit) { return V::all(unit); }
  static typename V::Float add_products(typename V::Float sum, Operand a, Operand b) { return V::fma(a, b, sum); }
};

}  // namespace
}  // namespace autoround::model::kernels
