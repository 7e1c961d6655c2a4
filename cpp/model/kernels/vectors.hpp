// Kernels are written once over a policy V, which is a register of 4, 8 or 16 floats of one instruction set:
//
//   Float      with operators, loads and stores (of bf16 too where rows are of it), fma, max, limit, reciprocal, relu,
//   above_zero, nearest and
//              round_to_bf16; sum and highest are of its lanes
//   Mask       lanes, as between(first, end) says them, that select(mask, x, other) takes of x
//   exponent   x, limited to what times_power_of_two(p, nearest(x)) takes, which with AVX-512 is any that is finite;
//   NaN
//              stays NaN
//   Words      the same register as `lanes` words of 32 bits; transpose(square) of `lanes` of them
//
// Each instruction set's translation unit includes its policy and the kernels; everything has internal linkage. What is
// here serves all policies.
#pragma once

#include "model/kernels/kernels.hpp"

namespace autoround::model::kernels {
namespace {

inline std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
inline std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

inline void prefetch(const void* from) { __builtin_prefetch(from); }
/// `count` elements that are read soon. For rows that lie too far apart for the processor to foresee the next.
template <typename T>
inline void prefetch_row(const T* row, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += 64 / sizeof(T)) prefetch(row + i);
}
constexpr std::int64_t kRowsAhead = 12;

template <typename V, typename T>
inline typename V::Float load(const T* p, std::int64_t count) {
  if (count == V::lanes) return V::load(p);
  T padded[V::lanes] = {};
  for (std::int64_t i = 0; i < count; ++i) padded[i] = p[i];
  return V::load(padded);
}

template <typename V, typename T>
inline void store(T* p, typename V::Float x, std::int64_t count) {
  if (count == V::lanes) return V::store(p, x);
  T padded[V::lanes];
  V::store(padded, x);
  for (std::int64_t i = 0; i < count; ++i) p[i] = padded[i];
}

/// Zero beyond the first `count` lanes.
template <typename V>
inline typename V::Float first_lanes(typename V::Float x, std::int64_t count) {
  return count == V::lanes ? x : V::select(V::between(0, count), x, V::all(0.0f));
}

template <typename V>
inline typename V::Float rounded(typename V::Float x, const Bf16*) {
  return V::round_to_bf16(x);
}
template <typename V>
inline typename V::Float rounded(typename V::Float x, const float*) {
  return x;
}
/// What is left of x once it was stored as T.
template <typename V, typename T>
inline typename V::Float rounded(typename V::Float x) {
  return rounded<V>(x, static_cast<const T*>(nullptr));
}

/// body(i, count) over [0, width) in vectors; only the last may be partial.
template <typename V, typename Body>
inline void each_vector(std::int64_t width, Body body) {
  std::int64_t i = 0;
  for (; i + V::lanes <= width; i += V::lanes) body(i, V::lanes);
  if (i < width) body(i, width - i);
}

/// Elements from what is computed to what is fetched meanwhile, where rows are `step` apart: the same place some rows
/// below, or further on in a long row. Rows are several streams of short pieces, which no processor foresees well.
inline std::int64_t reach(std::int64_t step) {
  constexpr std::int64_t least = 1024, most = 8192;
  return step > most ? least : (least + step - 1) / step * step;
}

/// Brings what lies `distance` elements after p + i nearer, once a line.
template <typename T>
inline void fetch(const T* p, std::int64_t i, std::int64_t distance) {
  if (i % static_cast<std::int64_t>(64 / sizeof(T)) == 0) __builtin_prefetch(p + i + distance);
}

/// (2^f - 1) / f for f within half of 0.
template <typename V>
inline typename V::Float exp2_rise(typename V::Float f) {
  auto p = V::all(1.327647129e-3f);
  p = V::fma(p, f, V::all(9.675540961e-3f));
  p = V::fma(p, f, V::all(5.550713092e-2f));
  p = V::fma(p, f, V::all(2.402212024e-1f));
  return V::fma(p, f, V::all(6.931469440e-1f));
}

/// 2^x to 1.3e-7 of itself, as far as V::exponent goes.
template <typename V>
inline typename V::Float exp2(typename V::Float x) {
  x = V::exponent(x);
  const auto whole = V::nearest(x), f = x - whole;
  return V::times_power_of_two(V::fma(exp2_rise<V>(f), f, V::all(1.0f)), whole);
}

/// tanh(u), to some 3e-7 of itself, where x is 2 u / ln 2: (2^x - 1) / (2^x + 1), whose numerator keeps what is small.
template <typename V>
inline typename V::Float tanh_of_exponent(typename V::Float x) {
  x = V::limit(x, -60.0f, 60.0f);
  const auto whole = V::nearest(x), f = x - whole;
  const auto one = V::all(1.0f), power = V::times_power_of_two(one, whole);
  const auto less_one = V::fma(exp2_rise<V>(f) * f, power, power - one);
  return less_one / (less_one + V::all(2.0f));
}

/// `count` is a multiple of the lanes, here and below.
template <typename V>
inline void fill_zero(float* p, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += V::lanes) V::store(p + i, V::all(0.0f));
}

template <typename V>
inline void add_to(float* sum, const float* x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += V::lanes) V::store(sum + i, V::load(sum + i) + V::load(x + i));
}

/// A matrix of words [rows][columns] as [columns][out_step]. load(r, c) gives those of row r from column c on.
template <typename V, class Load, typename T>
inline void transpose_loaded(const Load& load, std::int64_t rows, std::int64_t columns, T* out, std::int64_t out_step) {
  static_assert(sizeof(T) == 4);
  for (std::int64_t r = 0; r < rows; r += V::lanes) {
    for (std::int64_t c = 0; c < columns; c += V::lanes) {
      typename V::Words square[V::lanes];
      for (std::int64_t i = 0; i < V::lanes; ++i) square[i] = load(r + i, c);
      V::transpose(square);
      for (std::int64_t i = 0; i < V::lanes; ++i) V::store_words(out + (c + i) * out_step + r, square[i]);
    }
  }
}

template <typename V, typename T>
inline void transpose(const T* in, std::int64_t rows, std::int64_t columns, T* out, std::int64_t out_step) {
  const auto load = [&](std::int64_t r, std::int64_t c) { return V::load_words(in + r * columns + c); };
  transpose_loaded<V>(load, rows, columns, out, out_step);
}

}  // namespace
}  // namespace autoround::model::kernels
