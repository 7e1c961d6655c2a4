// The backward of blocked attention: the weights are computed again from the saved log-sum-exp. Only for the
// AVX512-BF16 and AMX translation units.
#pragma once

#include "model/kernels/attention_blocks.hpp"

namespace autoround::model::kernels {
namespace {

/// Gradients of the keys and of the values of a task, [block][width][64] each.
inline std::int64_t sum_floats(const Task& t) { return t.blocks * kBlock * t.width; }

struct BackwardSpace {
  BackwardSpace(const Attention& a, const Task& t, std::int64_t task, void* base) : carver(base) {
    key_columns = carver.take<Unit>(t.blocks * t.width / 2 * kBlock);
    value_columns = carver.take<Unit>(t.blocks * t.width / 2 * kBlock);
    key_pairs = carver.take<Unit>(t.blocks * kBlock / 2 * t.width);
    grad_key = a.by_head ? a.head_sums + task * 2 * sum_floats(t) : carver.take<float>(2 * sum_floats(t));
    grad_value = grad_key == nullptr ? nullptr : grad_key + sum_floats(t);
    query = carver.take<Bf16>(kBlock * t.width);
    grad = carver.take<Bf16>(kBlock * t.width);
    query_columns = carver.take<Unit>(t.width * kBlock / 2);
    grad_columns = carver.take<Unit>(t.width * kBlock / 2);
    grad_query = carver.take<float>(kBlock * t.width);
    delta = carver.take<float>(kBlock);
    lse = carver.take<float>(kBlock);
    scores = carver.take<float>(kStripRows * kBlock);
    products = carver.take<float>(kStripRows * kBlock);
    weights = carver.take<Unit>(kBlock / 2 * kBlock);
    slopes = carver.take<Unit>(kBlock / 2 * kBlock);
    slope_rows = carver.take<Bf16>(kBlock * kBlock);
  }
  Carver carver;
  Unit *key_columns, *value_columns, *key_pairs;  // whole sequence: [block][width / 2][64] twice, [block][32][width]
  float *grad_key, *grad_value;                   // whole sequence: [block][width][64], one after the other
  Bf16 *query, *grad;                             // one block of queries and of the output's gradient, rows
  Unit *query_columns, *grad_columns;             // the same, [width][32]: pairs of rows side by side
  float* grad_query;
  float *delta, *lse;        // per query: grad . out, log-sum-exp
  float *scores, *products;  // one strip: q.k and grad.v
  Unit *weights, *slopes;    // P and dS as pairs of queries, [32][64]
  Bf16* slope_rows;          // dS as rows
};

/// Rows [count][width] of bf16, count a multiple of 32, as [width][32] units of two rows.
inline void columns_of(const Bf16* rows, std::int64_t count, std::int64_t width, Unit* out) {
  const auto load = [&](std::int64_t pair, std::int64_t c) {
    const Bf16* even = rows + 2 * pair * width + c;
    return interleave(load_words(even), load_words(even + width));
  };
  transpose_loaded(load, count / 2, width, out, kBlock / 2);
}

/// P = exp2(scores - lse) and dS = P (products - delta), times the slope of the soft limit, of one strip, in bf16 and
/// laid out for what they multiply.
template <bool whole>
inline void strip_slopes(const Attention& a, const Strip& strip, const BackwardSpace& space, std::int64_t row) {
  const __m512 scale = _mm512_set1_ps(a.scale * kLog2E);
  const __m512 one = _mm512_set1_ps(1.0f), bend = _mm512_set1_ps(score_bend(a));
  const std::int64_t vectors = whole ? kBlock / kLanes : strip.columns / kLanes;
  for (std::int64_t r = 0; r < kStripRows; r += 2) {
    const float* lse = space.lse + row + r;
    const float* delta = space.delta + row + r;
    for (std::int64_t v = 0; v < vectors; ++v) {
      const std::int64_t column = v * kLanes;
      __m256i p[2], ds[2];
      for (std::int64_t i = 0; i < 2; ++i) {
        const __mmask16 seen = whole ? kAll : visible(a, strip.query + r + i, strip.key + column);
        const __m512 score = _mm512_loadu_ps(space.scores + (r + i) * kBlock + column);
        const __m512 product = _mm512_loadu_ps(space.products + (r + i) * kBlock + column);
        const __m512 weight = _mm512_maskz_mov_ps(seen, exp2(_mm512_fmsub_ps(scale, score, _mm512_set1_ps(lse[i]))));
        p[i] = float_to_bf16(weight);
        const __m512 bent = _mm512_mul_ps(score, bend), slope = _mm512_fnmadd_ps(bent, bent, one);
        const __m512 pull = _mm512_sub_ps(product, _mm512_set1_ps(delta[i]));
        ds[i] = float_to_bf16(_mm512_maskz_mul_ps(seen, _mm512_mul_ps(weight, slope), pull));
        store_words(space.slope_rows + (row + r + i) * kBlock + column, ds[i]);
      }
      const std::int64_t unit = (row + r) / 2 * kBlock + column;
      _mm512_storeu_si512(space.weights + unit, interleave(p[0], p[1]));
      _mm512_storeu_si512(space.slopes + unit, interleave(ds[0], ds[1]));
    }
  }
}

/// One block of queries against one block of keys: adds to the gradients of all three.
template <class Multiply>
void backward_pair(const Attention& a, const Task& t, BackwardSpace& space, std::int64_t rows, std::int64_t block,
                   std::int64_t kb) {
  const std::int64_t width = t.width / 2;  // in units
  const Unit* keys = space.key_columns + kb * width * kBlock;
  const Unit* values = space.value_columns + kb * width * kBlock;
  const Unit* key_pairs = space.key_pairs + kb * kBlock / 2 * t.width;
  for (std::int64_t r = 0; r < rows; r += kStripRows) {
    const Strip strip = strip_at(a, block, r, kb);
    Multiply::template multiply<false>(units(space.query) + r * width, width, keys, kBlock, width, strip.columns,
                                       space.scores, kBlock);
    bend_scores(a, strip, space.scores);
    Multiply::template multiply<false>(units(space.grad) + r * width, width, values, kBlock, width, strip.columns,
                                       space.products, kBlock);
    strip.whole ? strip_slopes<true>(a, strip, space, r) : strip_slopes<false>(a, strip, space, r);
    Multiply::template multiply<true>(units(space.slope_rows) + r * kBlock / 2, kBlock / 2, key_pairs, t.width,
                                      strip.columns / 2, t.width, space.grad_query + r * t.width, t.width);
  }
  // Keys see only the queries from their own position on.
  const std::int64_t columns = kb == block ? kColumns : kBlock;
  for (std::int64_t key = 0; key < kBlock; key += columns) {
    const std::int64_t first = kb == block ? key / 2 : 0;
    for (std::int64_t c = 0; first < rows / 2 && c < t.width; c += kStripRows) {
      const std::int64_t left = c * kBlock / 2 + first, right = first * kBlock + key;
      const std::int64_t sum = (kb * t.width + c) * kBlock + key;
      Multiply::template multiply<true>(space.grad_columns + left, kBlock / 2, space.weights + right, kBlock,
                                        rows / 2 - first, columns, space.grad_value + sum, kBlock);
      Multiply::template multiply<true>(space.query_columns + left, kBlock / 2, space.slopes + right, kBlock,
                                        rows / 2 - first, columns, space.grad_key + sum, kBlock);
    }
  }
}

template <class Multiply>
void backward_block(const Attention& a, const Task& t, BackwardSpace& space, std::int64_t head, std::int64_t block) {
  const std::int64_t rows = t.rows(a, block), padded = round_up(rows, kColumns);
  const Bf16* source = a.qkv + t.query(a, block, head);
  const Bf16* grad_out = a.grad_out + t.output(a, block, head);
  const Bf16* out = a.out + t.output(a, block, head);
  prepare_rows(source, t.turned(a, a.q_norm), block * kBlock, rows, padded, t.width, space.query);
  prepare_rows(grad_out, t.plain(a, t.out_step), block * kBlock, rows, padded, t.width, space.grad);
  columns_of(space.query, padded, t.width, space.query_columns);
  columns_of(space.grad, padded, t.width, space.grad_columns);
  for (std::int64_t r = 0; r < padded; ++r) {
    prefetch_row(out + (r + kRowsAhead) * t.out_step, a.head_dim);
    __m512 dot = _mm512_setzero_ps();
    for (std::int64_t c = 0; r < rows && c < a.head_dim; c += kLanes) {
      dot = _mm512_fmadd_ps(load_bf16(grad_out + r * t.out_step + c), load_bf16(out + r * t.out_step + c), dot);
    }
    space.delta[r] = _mm512_reduce_add_ps(dot);
    space.lse[r] = r < rows ? a.lse[(t.sample * a.heads + head) * a.sequence + block * kBlock + r] : 0.0f;
  }
  fill_zero(space.grad_query, kBlock * t.width);
  for (std::int64_t kb = first_key_block(a, block); kb <= block; ++kb) {
    backward_pair<Multiply>(a, t, space, padded, block, kb);
  }
  restore_rows(space.grad_query, a.scale, source, t.turned(a, a.q_norm), block * kBlock, rows, t.width,
               a.grad_qkv + t.query(a, block, head));
}

/// Brings sums of one block of keys back to the projection. `rows` is memory for them by rows, [64][width].
inline void restore_keys(const Attention& a, const Task& t, std::int64_t block, const float* grad_key,
                         const float* grad_value, float* rows) {
  const std::int64_t key = t.key(a, block), value = t.value(a, block), count = t.rows(a, block);
  transpose(grad_key, t.width, kBlock, rows, t.width);
  restore_rows(rows, a.scale, a.qkv + key, t.turned(a, a.k_norm), block * kBlock, count, t.width, a.grad_qkv + key);
  transpose(grad_value, t.width, kBlock, rows, t.width);
  restore_rows(rows, 1.0f, a.qkv + value, t.plain(a, t.row_step), block * kBlock, count, t.width, a.grad_qkv + value);
}

template <class Multiply>
void backward(const Attention& a, std::int64_t task, void* workspace) {
  [[maybe_unused]] const typename Multiply::Use use;
  const Task t(a, task);
  BackwardSpace space(a, t, task, workspace);
  for (std::int64_t b = 0; b < t.blocks; ++b) {
    const std::int64_t columns = b * (t.width / 2) * kBlock;
    prepare_rows(a.qkv + t.key(a, b), t.turned(a, a.k_norm), b * kBlock, t.rows(a, b), kBlock, t.width, space.query);
    transpose(units(space.query), kBlock, t.width / 2, space.key_columns + columns, kBlock);
    pair_rows(space.query, kBlock, t.width, space.key_pairs + b * (kBlock / 2) * t.width);
    prepare_rows(a.qkv + t.value(a, b), t.plain(a, t.row_step), b * kBlock, t.rows(a, b), kBlock, t.width, space.query);
    transpose(units(space.query), kBlock, t.width / 2, space.value_columns + columns, kBlock);
  }
  fill_zero(space.grad_key, 2 * sum_floats(t));
  for (std::int64_t h = t.head; h < t.head + t.heads; ++h) {
    for (std::int64_t b = 0; b < t.blocks; ++b) backward_block<Multiply>(a, t, space, h, b);
  }
  for (std::int64_t b = 0; !a.by_head && b < t.blocks; ++b) {
    const std::int64_t first = b * kBlock * t.width;
    restore_keys(a, t, b, space.grad_key + first, space.grad_value + first, space.grad_query);
  }
}

struct HeadsSpace {
  HeadsSpace(const Task& t, void* base) : carver(base) {
    grad_key = carver.take<float>(kBlock * t.width);
    grad_value = carver.take<float>(kBlock * t.width);
    rows = carver.take<float>(kBlock * t.width);
  }
  Carver carver;
  float *grad_key, *grad_value, *rows;  // of one block
};

inline void add_heads(const Attention& a, std::int64_t task, void* workspace) {
  const Task t(a, task, /*by_head=*/false);
  const HeadsSpace space(t, workspace);
  const std::int64_t count = kBlock * t.width;
  for (std::int64_t b = 0; b < t.blocks; ++b) {
    fill_zero(space.grad_key, count);
    fill_zero(space.grad_value, count);
    for (std::int64_t h = t.head; h < t.head + t.heads; ++h) {
      const float* sums = a.head_sums + (t.sample * a.heads + h) * 2 * sum_floats(t) + b * count;
      add_to(space.grad_key, sums, count);
      add_to(space.grad_value, sums + sum_floats(t), count);
    }
    restore_keys(a, t, b, space.grad_key, space.grad_value, space.rows);
  }
}

template <class Multiply>
constexpr AttentionPass kBackward{
    [](const Attention& a) { return BackwardSpace(a, Task(a, 0), 0, nullptr).carver.used(); }, backward<Multiply>};

constexpr AttentionPass kAddHeads{
    [](const Attention& a) { return HeadsSpace(Task(a, 0, false), nullptr).carver.used(); }, add_heads};

inline std::int64_t head_floats(const Attention& a) { return 2 * sum_floats(Task(a, 0)); }

}  // namespace
}  // namespace autoround::model::kernels
