// What happens to one row of one head between the projection and the products of attention: per-head RMSNorm, rotation,
// rounding to bf16; and the way back for its gradient. Only for the AVX512-BF16 and AMX translation units.
#pragma once

#include "model/kernels/bf16_units.hpp"

namespace autoround::model::kernels {
namespace {

/// One head's column range in qkv and what is done to its rows.
struct Head {
  std::int64_t dim;              // multiple of 16
  std::int64_t row_step;         // elements between tokens
  const Bf16* norm = nullptr;    // weight [dim]; null: none
  std::int64_t rotary_half = 0;  // 0: no rotation
  const float *cos = nullptr, *sin = nullptr;
  float eps = 0;

  bool plain() const { return norm == nullptr && rotary_half == 0; }
};

inline void load_row(const Bf16* x, std::int64_t dim, float* row) {
  for (std::int64_t i = 0; i < dim; i += kLanes) _mm512_storeu_ps(row + i, load_bf16(x + i));
}

inline float inverse_rms(const float* row, std::int64_t dim, float eps) {
  __m512 squares = _mm512_setzero_ps();
  for (std::int64_t i = 0; i < dim; i += kLanes) {
    const __m512 x = _mm512_loadu_ps(row + i);
    squares = _mm512_fmadd_ps(x, x, squares);
  }
  return 1.0f / __builtin_sqrtf(_mm512_reduce_add_ps(squares) / static_cast<float>(dim) + eps);
}

inline __m512 rounded(__m512 x) { return bf16_to_float(float_to_bf16(x)); }

/// Turns the row by the angles of `position`, or back by them.
inline void rotate(float* row, const Head& head, std::int64_t position, bool back) {
  const std::int64_t half = head.rotary_half;
  const float *cos = head.cos + position * half, *sin = head.sin + position * half;
  for (std::int64_t i = 0; i < half; i += kLanes) {
    const __mmask16 m = lanes(half - i);
    const __m512 first = _mm512_maskz_loadu_ps(m, row + i), second = _mm512_maskz_loadu_ps(m, row + half + i);
    const __m512 c = _mm512_maskz_loadu_ps(m, cos + i);
    __m512 s = _mm512_maskz_loadu_ps(m, sin + i);
    if (back) s = _mm512_sub_ps(_mm512_setzero_ps(), s);
    _mm512_mask_storeu_ps(row + i, m, _mm512_fmsub_ps(first, c, _mm512_mul_ps(second, s)));
    _mm512_mask_storeu_ps(row + half + i, m, _mm512_fmadd_ps(second, c, _mm512_mul_ps(first, s)));
  }
}

inline void copy_row(const Bf16* x, std::int64_t dim, Bf16* out) {
  for (std::int64_t i = 0; i < dim; i += kLanes) {
    store_words(out + i, load_words(x + i));
  }
}

inline void norm_row(float* row, const Head& head) {
  const __m512 scale = _mm512_set1_ps(inverse_rms(row, head.dim, head.eps));
  for (std::int64_t i = 0; i < head.dim; i += kLanes) {
    const __m512 normed = rounded(_mm512_mul_ps(_mm512_loadu_ps(row + i), scale));
    _mm512_storeu_ps(row + i, rounded(_mm512_mul_ps(normed, load_bf16(head.norm + i))));
  }
}

/// The gradient of norm_row at `x`: dx = rstd (w g - x rstd^2 mean(w g x)).
inline void norm_row_gradient(float* grad, const Bf16* x, const Head& head) {
  alignas(64) float row[kMaxHeadDim];
  load_row(x, head.dim, row);
  const float rstd = inverse_rms(row, head.dim, head.eps);
  __m512 dot = _mm512_setzero_ps();
  for (std::int64_t i = 0; i < head.dim; i += kLanes) {
    const __m512 weighted = _mm512_mul_ps(_mm512_loadu_ps(grad + i), load_bf16(head.norm + i));
    _mm512_storeu_ps(grad + i, weighted);
    dot = _mm512_fmadd_ps(weighted, _mm512_loadu_ps(row + i), dot);
  }
  const __m512 pull = _mm512_set1_ps(_mm512_reduce_add_ps(dot) / static_cast<float>(head.dim) * rstd * rstd);
  for (std::int64_t i = 0; i < head.dim; i += kLanes) {
    const __m512 across = _mm512_fnmadd_ps(pull, _mm512_loadu_ps(row + i), _mm512_loadu_ps(grad + i));
    _mm512_storeu_ps(grad + i, _mm512_mul_ps(_mm512_set1_ps(rstd), across));
  }
}

/// Rows of tokens position, position + 1, ... of one head as [padded][width] bf16, zeros where there is nothing.
inline void prepare_rows(const Bf16* x, const Head& head, std::int64_t position, std::int64_t count,
                         std::int64_t padded, std::int64_t width, Bf16* out) {
  alignas(64) float row[kMaxHeadDim];
  for (std::int64_t r = 0; r < padded; ++r, x += head.row_step, out += width) {
    const std::int64_t filled = r < count ? head.dim : 0;
    prefetch_row(x + kRowsAhead * head.row_step, head.dim);
    for (std::int64_t i = filled; i < width; i += kLanes) {
      store_words(out + i, _mm256_setzero_si256());
    }
    if (filled == 0) continue;
    if (head.plain()) {
      copy_row(x, head.dim, out);
      continue;
    }
    load_row(x, head.dim, row);
    if (head.norm != nullptr) norm_row(row, head);
    if (head.rotary_half > 0) rotate(row, head, position + r, false);
    for (std::int64_t i = 0; i < head.dim; i += kLanes) store_bf16(out + i, _mm512_loadu_ps(row + i));
  }
}

/// The gradient of prepare_rows: `grad` [count][width], times `factor`, is brought back to the rows of the projection.
inline void restore_rows(const float* grad, float factor, const Bf16* x, const Head& head, std::int64_t position,
                         std::int64_t count, std::int64_t width, Bf16* out) {
  alignas(64) float row[kMaxHeadDim];
  for (std::int64_t r = 0; r < count; ++r, x += head.row_step, out += head.row_step, grad += width) {
    prefetch_row(out + kRowsAhead * head.row_step, head.dim);
    for (std::int64_t i = 0; i < head.dim; i += kLanes) {
      _mm512_storeu_ps(row + i, _mm512_mul_ps(_mm512_set1_ps(factor), _mm512_loadu_ps(grad + i)));
    }
    if (head.rotary_half > 0) rotate(row, head, position + r, true);
    if (head.norm != nullptr) norm_row_gradient(row, x, head);
    for (std::int64_t i = 0; i < head.dim; i += kLanes) store_bf16(out + i, _mm512_loadu_ps(row + i));
  }
}

}  // namespace
}  // namespace autoround::model::kernels
