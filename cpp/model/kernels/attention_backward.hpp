// The backward of blocked attention: the weights are computed again from the saved log-sum-exp.
#pragma once

#include "model/kernels/attention_blocks.hpp"

namespace autoround::model::kernels {
namespace {

/// Gradients of the keys and of the values of a task, [block][width][64] each.
inline std::int64_t sum_floats(const Task& t) { return t.blocks * kBlock * t.width; }
inline std::int64_t head_floats(const Attention& a) { return 2 * sum_floats(Task(a, 0)); }

/// Brings sums of one block of keys back to the projection. `rows` is memory for them by rows, [64][width].
template <class A>
inline void restore_keys(const Attention& a, const Task& t, std::int64_t block, const float* grad_key,
                         const float* grad_value, float* rows) {
  using V = typename A::V;
  const auto* qkv = elements<A>(a.qkv);
  auto* grad_qkv = elements<A>(a.grad_qkv);
  const std::int64_t key = t.key(a, block), value = t.value(a, block), first = block * kBlock, count = t.rows(a, block);
  transpose<V>(grad_key, t.width, kBlock, rows, t.width);
  restore_rows<A>(rows, a.scale, qkv + key, t.turned(a, a.k_norm), first, count, t.width, grad_qkv + key);
  transpose<V>(grad_value, t.width, kBlock, rows, t.width);
  restore_rows<A>(rows, 1.0f, qkv + value, t.plain(a, t.row_step), first, count, t.width, grad_qkv + value);
}

template <class Multiply>
class Backward {
 public:
  static std::size_t workspace_bytes(const Attention& a) { return Space(a, Task(a, 0), 0, nullptr).carver.used(); }

  static void run(const Attention& a, std::int64_t task, void* workspace) {
    [[maybe_unused]] const typename Multiply::Use use;
    const Task t(a, task);
    Space space(a, t, task, workspace);
    const auto* qkv = elements<A>(a.qkv);
    for (std::int64_t b = 0; b < t.blocks; ++b) {
      const std::int64_t columns = b * t.width / per_unit * kBlock;
      prepare_rows<A>(qkv + t.key(a, b), t.turned(a, a.k_norm), b * kBlock, t.rows(a, b), kBlock, t.width, space.query);
      turn_rows<A>(space.query, t.width, space.key_columns + columns);
      pair_rows<A>(space.query, kBlock, t.width, space.key_pairs + b * kBlock / per_unit * t.width);
      prepare_rows<A>(qkv + t.value(a, b), t.plain(a, t.row_step), b * kBlock, t.rows(a, b), kBlock, t.width,
                      space.query);
      turn_rows<A>(space.query, t.width, space.value_columns + columns);
    }
    fill_zero<V>(space.grad_key, 2 * sum_floats(t));
    for (std::int64_t h = t.head; h < t.head + t.heads; ++h) {
      for (std::int64_t b = 0; b < t.blocks; ++b) attend(a, t, space, h, b);
    }
    for (std::int64_t b = 0; !a.by_head && b < t.blocks; ++b) {
      const std::int64_t first = b * kBlock * t.width;
      restore_keys<A>(a, t, b, space.grad_key + first, space.grad_value + first, space.grad_query);
    }
  }

 private:
  using A = typename Multiply::Arithmetic;
  using V = typename A::V;
  using Element = typename A::Element;
  using Unit = typename A::Unit;
  static constexpr std::int64_t per_unit = A::per_unit;

  struct Space {
    Space(const Attention& a, const Task& t, std::int64_t task, void* base) : carver(base) {
      key_columns = carver.take<Unit>(t.blocks * t.width / per_unit * kBlock);
      value_columns = carver.take<Unit>(t.blocks * t.width / per_unit * kBlock);
      key_pairs = carver.take<Unit>(t.blocks * kBlock / per_unit * t.width);
      grad_key = a.by_head ? a.head_sums + task * 2 * sum_floats(t) : carver.take<float>(2 * sum_floats(t));
      grad_value = grad_key == nullptr ? nullptr : grad_key + sum_floats(t);
      query = carver.take<Element>(kBlock * t.width);
      grad = carver.take<Element>(kBlock * t.width);
      query_columns = carver.take<Unit>(t.width * kBlock / per_unit);
      grad_columns = carver.take<Unit>(t.width * kBlock / per_unit);
      grad_query = carver.take<float>(kBlock * t.width);
      delta = carver.take<float>(kBlock);
      minus_lse = carver.take<float>(kBlock);
      scores = carver.take<float>(kStripRows * kBlock);
      products = carver.take<float>(kStripRows * kBlock);
      weights = carver.take<Unit>(kBlock / per_unit * kBlock);
      slopes = carver.take<Unit>(kBlock / per_unit * kBlock);
      slope_rows = carver.take<Element>(kBlock * kBlock);
    }
    Carver carver;
    Unit *key_columns, *value_columns;   // whole sequence: [block][width / per_unit][64]
    Unit* key_pairs;                     // whole sequence: [block][64 / per_unit][width]
    float *grad_key, *grad_value;        // whole sequence: [block][width][64], one after the other
    Element *query, *grad;               // one block of queries and of the output's gradient, rows
    Unit *query_columns, *grad_columns;  // the same, [width][64 / per_unit]
    float* grad_query;
    float *delta, *minus_lse;  // per query: grad . out, log-sum-exp
    float *scores, *products;  // one strip: q.k and grad.v
    Unit *weights, *slopes;    // P and dS, [64 / per_unit][64]
    Element* slope_rows;       // dS as rows
  };

  /// P = exp2(scores - lse) and dS = P (products - delta), times the slope of the soft limit, of one strip, rounded and
  /// laid out for what they multiply.
  template <bool whole>
  static void strip_slopes(const Attention& a, const Strip& strip, const Space& space, std::int64_t row) {
    const auto scale = V::all(a.scale * kLog2E), bend = V::all(score_bend(a));
    const auto one = V::all(1.0f), none = V::all(0.0f);
    const std::int64_t columns = whole ? kBlock : strip.columns;
    for (std::int64_t r = 0; r < kStripRows; r += per_unit) {
      const float* minus_lse = space.minus_lse + row + r;
      const float* delta = space.delta + row + r;
      for (std::int64_t column = 0; column < columns; column += V::lanes) {
        typename V::Float p[per_unit], ds[per_unit];
        for (std::int64_t i = 0; i < per_unit; ++i) {
          const auto score = V::load(space.scores + (r + i) * kBlock + column);
          const auto product = V::load(space.products + (r + i) * kBlock + column);
          p[i] = exp2<V>(V::fma(scale, score, V::all(minus_lse[i])));
          if (!whole) p[i] = V::select(visible<V>(a, strip.query + r + i, strip.key + column), p[i], none);
          const auto bent = score * bend, slope = V::fma(-bent, bent, one);
          ds[i] = (p[i] * slope) * (product - V::all(delta[i]));
          if (!whole) ds[i] = V::select(visible<V>(a, strip.query + r + i, strip.key + column), ds[i], none);
          V::store(space.slope_rows + (row + r + i) * kBlock + column, ds[i]);
        }
        const std::int64_t unit = (row + r) / per_unit * kBlock + column;
        A::store_units(space.weights + unit, p);
        A::store_units(space.slopes + unit, ds);
      }
    }
  }

  /// One block of queries against one block of keys: adds to the gradients of all three.
  static void attend_pair(const Attention& a, const Task& t, Space& space, std::int64_t rows, std::int64_t block,
                          std::int64_t kb) {
    const std::int64_t width = t.width / per_unit, side = kBlock / per_unit;  // in units
    const Unit* keys = space.key_columns + kb * width * kBlock;
    const Unit* values = space.value_columns + kb * width * kBlock;
    const Unit* key_pairs = space.key_pairs + kb * side * t.width;
    for (std::int64_t r = 0; r < rows; r += kStripRows) {
      const Strip strip = strip_at(a, block, r, kb);
      Multiply::template multiply<false>(units<A>(space.query) + r * width, width, keys, kBlock, width, strip.columns,
                                         space.scores, kBlock);
      bend_scores<V>(a, strip, space.scores);
      Multiply::template multiply<false>(units<A>(space.grad) + r * width, width, values, kBlock, width, strip.columns,
                                         space.products, kBlock);
      strip.whole ? strip_slopes<true>(a, strip, space, r) : strip_slopes<false>(a, strip, space, r);
      Multiply::template multiply<true>(units<A>(space.slope_rows) + r * side, side, key_pairs, t.width,
                                        strip.columns / per_unit, t.width, space.grad_query + r * t.width, t.width);
    }
    // Keys see only the queries from their own position on.
    const std::int64_t columns = kb == block ? kColumns : kBlock, queries = rows / per_unit;
    for (std::int64_t key = 0; key < kBlock; key += columns) {
      const std::int64_t first = kb == block ? key / per_unit : 0;
      for (std::int64_t c = 0; first < queries && c < t.width; c += kStripRows) {
        const std::int64_t left = c * side + first, right = first * kBlock + key;
        const std::int64_t sum = (kb * t.width + c) * kBlock + key;
        Multiply::template multiply<true>(space.grad_columns + left, side, space.weights + right, kBlock,
                                          queries - first, columns, space.grad_value + sum, kBlock);
        Multiply::template multiply<true>(space.query_columns + left, side, space.slopes + right, kBlock,
                                          queries - first, columns, space.grad_key + sum, kBlock);
      }
    }
  }

  /// One block of queries of one head against all keys that it sees.
  static void attend(const Attention& a, const Task& t, Space& space, std::int64_t head, std::int64_t block) {
    const std::int64_t rows = t.rows(a, block), padded = round_up(rows, kColumns), first = block * kBlock;
    const Element* source = elements<A>(a.qkv) + t.query(a, block, head);
    const Element* grad_out = elements<A>(a.grad_out) + t.output(a, block, head);
    const Element* out = elements<A>(a.out) + t.output(a, block, head);
    prepare_rows<A>(source, t.turned(a, a.q_norm), first, rows, padded, t.width, space.query);
    prepare_rows<A>(grad_out, t.plain(a, t.out_step), first, rows, padded, t.width, space.grad);
    columns_of<A>(space.query, padded, t.width, space.query_columns);
    columns_of<A>(space.grad, padded, t.width, space.grad_columns);
    for (std::int64_t r = 0; r < padded; ++r) {
      prefetch_row(out + (r + kRowsAhead) * t.out_step, a.head_dim);
      auto dot = V::all(0.0f);
      for (std::int64_t c = 0; r < rows && c < a.head_dim; c += V::lanes) {
        dot = V::fma(V::load(grad_out + r * t.out_step + c), V::load(out + r * t.out_step + c), dot);
      }
      space.delta[r] = V::sum(dot);
      space.minus_lse[r] = r < rows ? -a.lse[(t.sample * a.heads + head) * a.sequence + first + r] : 0.0f;
    }
    fill_zero<V>(space.grad_query, kBlock * t.width);
    for (std::int64_t kb = first_key_block(a, block); kb <= block; ++kb) attend_pair(a, t, space, padded, block, kb);
    restore_rows<A>(space.grad_query, a.scale, source, t.turned(a, a.q_norm), first, rows, t.width,
                    elements<A>(a.grad_qkv) + t.query(a, block, head));
  }
};

/// Where tasks are heads: adds up what they made of the gradients of keys and values.
template <class A>
class AddHeads {
 public:
  static std::size_t workspace_bytes(const Attention& a) { return Space(Task(a, 0, false), nullptr).carver.used(); }

  static void run(const Attention& a, std::int64_t task, void* workspace) {
    const Task t(a, task, /*by_head=*/false);
    const Space space(t, workspace);
    const std::int64_t count = kBlock * t.width;
    for (std::int64_t b = 0; b < t.blocks; ++b) {
      fill_zero<V>(space.grad_key, count);
      fill_zero<V>(space.grad_value, count);
      for (std::int64_t h = t.head; h < t.head + t.heads; ++h) {
        const float* sums = a.head_sums + (t.sample * a.heads + h) * 2 * sum_floats(t) + b * count;
        add_to<V>(space.grad_key, sums, count);
        add_to<V>(space.grad_value, sums + sum_floats(t), count);
      }
      restore_keys<A>(a, t, b, space.grad_key, space.grad_value, space.rows);
    }
  }

 private:
  using V = typename A::V;

  struct Space {
    Space(const Task& t, void* base) : carver(base) {
      grad_key = carver.take<float>(kBlock * t.width);
      grad_value = carver.take<float>(kBlock * t.width);
      rows = carver.take<float>(kBlock * t.width);
    }
    Carver carver;
    float *grad_key, *grad_value, *rows;  // of one block
  };
};

template <class Multiply>
constexpr AttentionPass kBackward{Backward<Multiply>::workspace_bytes, Backward<Multiply>::run};

template <class A>
constexpr AttentionPass kAddHeads{AddHeads<A>::workspace_bytes, AddHeads<A>::run};

}  // namespace
}  // namespace autoround::model::kernels
