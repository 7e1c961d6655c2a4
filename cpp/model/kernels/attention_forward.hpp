// The forward of blocked attention. Only for the AVX512-BF16 and AMX translation units.
#pragma once

#include <math.h>

#include "model/kernels/attention_blocks.hpp"

namespace autoround::model::kernels {
namespace {

struct ForwardSpace {
  ForwardSpace(const Task& t, void* base) : carver(base) {
    key_units = carver.take<Unit>(t.blocks * t.width / 2 * kBlock);
    value_units = carver.take<Unit>(t.blocks * kBlock / 2 * t.width);
    rows = carver.take<Bf16>(kBlock * t.width);
    sum = carver.take<float>(kBlock * t.width);
    scores = carver.take<float>(kStripRows * kBlock);
    weights = carver.take<Bf16>(kStripRows * kBlock);
    maximum = carver.take<float>(kBlock);
    total = carver.take<float>(kBlock);
  }
  Carver carver;
  Unit *key_units, *value_units;
  Bf16* rows;
  float *sum, *scores;
  Bf16* weights;
  float *maximum, *total;
};

/// Turns the scores of a strip into weights relative to the running maximum, which it raises; `sum` is rescaled to it.
template <bool whole>
inline void online_softmax(const Attention& a, const Strip& strip, const float* scores, float* maximum, float* total,
                           float* sum, std::int64_t width, Bf16* weights) {
  const __m512 scale = _mm512_set1_ps(a.scale * kLog2E), lowest = _mm512_set1_ps(kLowest);
  const std::int64_t vectors = whole ? kBlock / kLanes : strip.columns / kLanes;
  alignas(64) float factor[kLanes] = {};
  alignas(64) float raised[kLanes] = {};
  for (std::int64_t r = 0; r < kStripRows; ++r) {
    __m512 top = lowest;
    for (std::int64_t v = 0; v < vectors; ++v) {
      const __mmask16 m = whole ? kAll : visible(a, strip.query + r, strip.key + v * kLanes);
      const __m512 s = _mm512_mul_ps(scale, _mm512_loadu_ps(scores + r * kBlock + v * kLanes));
      top = _mm512_mask_max_ps(top, m, top, s);
    }
    const float row_top = _mm512_reduce_max_ps(top);
    raised[r] = row_top > maximum[r] ? row_top : maximum[r];
    factor[r] = maximum[r] - raised[r];
    maximum[r] = raised[r];
  }
  _mm512_store_ps(factor, exp2(_mm512_load_ps(factor)));
  for (std::int64_t r = 0; r < kStripRows; ++r) {
    const __m512 top = _mm512_set1_ps(raised[r]);
    __m512 row_total = _mm512_setzero_ps();
    for (std::int64_t v = 0; v < vectors; ++v) {
      const __mmask16 m = whole ? kAll : visible(a, strip.query + r, strip.key + v * kLanes);
      const __m512 s = _mm512_loadu_ps(scores + r * kBlock + v * kLanes);
      const __m512 p = _mm512_maskz_mov_ps(m, exp2(_mm512_fmsub_ps(scale, s, top)));
      row_total = _mm512_add_ps(row_total, p);
      store_bf16(weights + r * kBlock + v * kLanes, p);
    }
    total[r] = total[r] * factor[r] + _mm512_reduce_add_ps(row_total);
    if (factor[r] == 1.0f) continue;
    const __m512 f = _mm512_set1_ps(factor[r]);
    for (std::int64_t c = 0; c < width; c += kLanes) {
      _mm512_storeu_ps(sum + r * width + c, _mm512_mul_ps(f, _mm512_loadu_ps(sum + r * width + c)));
    }
  }
}

template <class Multiply>
void forward_block(const Attention& a, const Task& t, ForwardSpace& space, std::int64_t head, std::int64_t block) {
  const std::int64_t rows = t.rows(a, block), padded = round_up(rows, kStripRows);
  prepare_rows(a.qkv + t.query(a, block, head), t.turned(a, a.q_norm), block * kBlock, rows, padded, t.width,
               space.rows);
  fill_zero(space.sum, kBlock * t.width);
  for (std::int64_t r = 0; r < kBlock; ++r) {
    space.maximum[r] = kLowest;
    space.total[r] = 0;
  }
  const Unit* queries = units(space.rows);
  const Unit* weights = units(space.weights);
  for (std::int64_t kb = first_key_block(a, block); kb <= block; ++kb) {
    const Unit* keys = space.key_units + kb * (t.width / 2) * kBlock;
    const Unit* values = space.value_units + kb * (kBlock / 2) * t.width;
    for (std::int64_t r = 0; r < padded; r += kStripRows) {
      const Strip strip = strip_at(a, block, r, kb);
      float* sum = space.sum + r * t.width;
      Multiply::template multiply<false>(queries + r * t.width / 2, t.width / 2, keys, kBlock, t.width / 2,
                                         strip.columns, space.scores, kBlock);
      bend_scores(a, strip, space.scores);
      const auto softmax = strip.whole ? online_softmax<true> : online_softmax<false>;
      softmax(a, strip, space.scores, space.maximum + r, space.total + r, sum, t.width, space.weights);
      Multiply::template multiply<true>(weights, kBlock / 2, values, t.width, strip.columns / 2, t.width, sum, t.width);
    }
  }
  Bf16* out = a.out + t.output(a, block, head);
  float* lse = a.lse + (t.sample * a.heads + head) * a.sequence + block * kBlock;
  for (std::int64_t r = 0; r < rows; ++r) {
    const __m512 inverse = _mm512_set1_ps(1.0f / space.total[r]);
    for (std::int64_t c = 0; c < a.head_dim; c += kLanes) {
      store_bf16(out + r * t.out_step + c, _mm512_mul_ps(inverse, _mm512_loadu_ps(space.sum + r * t.width + c)));
    }
    lse[r] = space.maximum[r] + log2f(space.total[r]);
  }
}

template <class Multiply>
void forward(const Attention& a, std::int64_t task, void* workspace) {
  [[maybe_unused]] const typename Multiply::Use use;
  const Task t(a, task);
  ForwardSpace space(t, workspace);
  for (std::int64_t b = 0; b < t.blocks; ++b) {
    prepare_rows(a.qkv + t.key(a, b), t.turned(a, a.k_norm), b * kBlock, t.rows(a, b), kBlock, t.width, space.rows);
    transpose(units(space.rows), kBlock, t.width / 2, space.key_units + b * (t.width / 2) * kBlock, kBlock);
    prepare_rows(a.qkv + t.value(a, b), t.plain(a, t.row_step), b * kBlock, t.rows(a, b), kBlock, t.width, space.rows);
    pair_rows(space.rows, kBlock, t.width, space.value_units + b * (kBlock / 2) * t.width);
  }
  for (std::int64_t h = t.head; h < t.head + t.heads; ++h) {
    for (std::int64_t b = 0; b < t.blocks; ++b) forward_block<Multiply>(a, t, space, h, b);
  }
}

template <class Multiply>
constexpr AttentionPass kForward{[](const Attention& a) { return ForwardSpace(Task(a, 0), nullptr).carver.used(); },
                                 forward<Multiply>};

}  // namespace
}  // namespace autoround::model::kernels
