// What happens to one row of one head between the projection and the products of attention: per-head RMSNorm, rotation,
// rounding; and the way back for its gradient. A is the arithmetic (attention_blocks.hpp).
#pragma once

#include "model/kernels/vectors.hpp"

namespace autoround::model::kernels {
namespace {

/// One head's column range in qkv and what is done to its rows.
struct Head {
  std::int64_t dim;              // multiple of 16
  std::int64_t row_step;         // elements between tokens
  const void* norm = nullptr;    // weight [dim]; null: none
  bool wide_norm = false;        // float, whatever elements are
  std::int64_t rotary_half = 0;  // 0: no rotation
  const float *cos = nullptr, *sin = nullptr;
  float eps = 0;

  bool plain() const { return norm == nullptr && rotary_half == 0; }
};

template <class A>
inline void load_row(const typename A::Element* x, std::int64_t dim, float* row) {
  using V = typename A::V;
  for (std::int64_t i = 0; i < dim; i += V::lanes) V::store(row + i, V::load(x + i));
}

template <class V>
inline float inverse_rms(const float* row, std::int64_t dim, float eps) {
  auto squares = V::all(0.0f);
  for (std::int64_t i = 0; i < dim; i += V::lanes) {
    const auto x = V::load(row + i);
    squares = V::fma(x, x, squares);
  }
  return 1.0f / __builtin_sqrtf(V::sum(squares) / static_cast<float>(dim) + eps);
}

/// Turns the row by the angles of `position`, or back by them.
template <class V>
inline void rotate(float* row, const Head& head, std::int64_t position, bool back) {
  const std::int64_t half = head.rotary_half;
  const float *cos = head.cos + position * half, *sin = head.sin + position * half;
  each_vector<V>(half, [&](std::int64_t i, std::int64_t n) {
    const auto first = load<V>(row + i, n), second = load<V>(row + half + i, n);
    const auto c = load<V>(cos + i, n), s = back ? -load<V>(sin + i, n) : load<V>(sin + i, n);
    store<V>(row + i, V::fma(first, c, -(second * s)), n);
    store<V>(row + half + i, V::fma(second, c, first * s), n);
  });
}

template <class A>
inline typename A::V::Float norm_weights(const Head& head, std::int64_t i) {
  if (head.wide_norm) return A::V::load(static_cast<const float*>(head.norm) + i);
  return A::V::load(static_cast<const typename A::Element*>(head.norm) + i);
}

template <class A>
inline void norm_row(float* row, const Head& head) {
  using V = typename A::V;
  using Element = typename A::Element;
  const auto scale = V::all(inverse_rms<V>(row, head.dim, head.eps));
  for (std::int64_t i = 0; i < head.dim; i += V::lanes) {
    const auto normed = V::load(row + i) * scale;
    const auto kept = head.wide_norm ? normed : rounded<V, Element>(normed);
    V::store(row + i, rounded<V, Element>(kept * norm_weights<A>(head, i)));
  }
}

/// The gradient of norm_row at `x`: dx = rstd (w g - x rstd^2 mean(w g x)).
template <class A>
inline void norm_row_gradient(float* grad, const typename A::Element* x, const Head& head) {
  using V = typename A::V;
  alignas(64) float row[kMaxHeadDim];
  load_row<A>(x, head.dim, row);
  const float rstd = inverse_rms<V>(row, head.dim, head.eps);
  auto dot = V::all(0.0f);
  for (std::int64_t i = 0; i < head.dim; i += V::lanes) {
    const auto weighted = V::load(grad + i) * norm_weights<A>(head, i);
    V::store(grad + i, weighted);
    dot = V::fma(weighted, V::load(row + i), dot);
  }
  const auto pull = V::all(-V::sum(dot) / static_cast<float>(head.dim) * rstd * rstd);
  for (std::int64_t i = 0; i < head.dim; i += V::lanes) {
    V::store(grad + i, V::all(rstd) * V::fma(pull, V::load(row + i), V::load(grad + i)));
  }
}

/// Rows of tokens position, position + 1, ... of one head as [padded][width], zeros where there is nothing.
template <class A>
inline void prepare_rows(const typename A::Element* x, const Head& head, std::int64_t position, std::int64_t count,
                         std::int64_t padded, std::int64_t width, typename A::Element* out) {
  using V = typename A::V;
  alignas(64) float row[kMaxHeadDim];
  for (std::int64_t r = 0; r < padded; ++r, x += head.row_step, out += width) {
    const std::int64_t filled = r < count ? head.dim : 0;
    prefetch_row(x + kRowsAhead * head.row_step, head.dim);
    for (std::int64_t i = filled; i < width; i += V::lanes) V::store(out + i, V::all(0.0f));
    if (filled == 0) continue;
    if (head.plain()) {
      for (std::int64_t i = 0; i < head.dim; i += V::lanes) A::copy(x + i, out + i);
      continue;
    }
    load_row<A>(x, head.dim, row);
    if (head.norm != nullptr) norm_row<A>(row, head);
    if (head.rotary_half > 0) rotate<V>(row, head, position + r, false);
    for (std::int64_t i = 0; i < head.dim; i += V::lanes) V::store(out + i, V::load(row + i));
  }
}

/// The gradient of prepare_rows: `grad` [count][width], times `factor`, is brought back to the rows of the projection.
template <class A>
inline void restore_rows(const float* grad, float factor, const typename A::Element* x, const Head& head,
                         std::int64_t position, std::int64_t count, std::int64_t width, typename A::Element* out) {
  using V = typename A::V;
  alignas(64) float row[kMaxHeadDim];
  for (std::int64_t r = 0; r < count; ++r, x += head.row_step, out += head.row_step, grad += width) {
    prefetch_row(out + kRowsAhead * head.row_step, head.dim);
    for (std::int64_t i = 0; i < head.dim; i += V::lanes) V::store(row + i, V::all(factor) * V::load(grad + i));
    if (head.rotary_half > 0) rotate<V>(row, head, position + r, true);
    if (head.norm != nullptr) norm_row_gradient<A>(row, x, head);
    for (std::int64_t i = 0; i < head.dim; i += V::lanes) V::store(out + i, V::load(row + i));
  }
}

}  // namespace
}  // namespace autoround::model::kernels
