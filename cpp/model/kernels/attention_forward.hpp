// The forward of blocked attention.
#pragma once

#include <math.h>

#include "model/kernels/attention_blocks.hpp"

namespace autoround::model::kernels {
namespace {

template <class Multiply>
class Forward {
 public:
  static std::size_t workspace_bytes(const Attention& a) { return Space(Task(a, 0), nullptr).carver.used(); }

  static void run(const Attention& a, std::int64_t task, void* workspace) {
    [[maybe_unused]] const typename Multiply::Use use;
    const Task t(a, task);
    Space space(t, workspace);
    const auto* qkv = elements<A>(a.qkv);
    for (std::int64_t b = 0; b < t.blocks; ++b) {
      prepare_rows<A>(qkv + t.key(a, b), t.turned(a, a.k_norm), b * kBlock, t.rows(a, b), kBlock, t.width, space.rows);
      turn_rows<A>(space.rows, t.width, space.key_units + b * t.width / per_unit * kBlock);
      prepare_rows<A>(qkv + t.value(a, b), t.plain(a, t.row_step), b * kBlock, t.rows(a, b), kBlock, t.width,
                      space.rows);
      pair_rows<A>(space.rows, kBlock, t.width, space.value_units + b * kBlock / per_unit * t.width);
    }
    for (std::int64_t h = t.head; h < t.head + t.heads; ++h) {
      for (std::int64_t b = 0; b < t.blocks; ++b) attend(a, t, space, h, b);
    }
  }

 private:
  using A = typename Multiply::Arithmetic;
  using V = typename A::V;
  using Element = typename A::Element;
  using Unit = typename A::Unit;
  static constexpr std::int64_t per_unit = A::per_unit;

  struct Space {
    Space(const Task& t, void* base) : carver(base) {
      key_units = carver.take<Unit>(t.blocks * t.width / per_unit * kBlock);
      value_units = carver.take<Unit>(t.blocks * kBlock / per_unit * t.width);
      rows = carver.take<Element>(kBlock * t.width);
      sum = carver.take<float>(kBlock * t.width);
      scores = carver.take<float>(kStripRows * kBlock);
      weights = carver.take<Element>(kStripRows * kBlock);
      maximum = carver.take<float>(kBlock);
      total = carver.take<float>(kBlock);
    }
    Carver carver;
    Unit *key_units, *value_units;  // whole sequence: [block][width / per_unit][64], [block][64 / per_unit][width]
    Element* rows;
    float *sum, *scores;
    Element* weights;
    float *maximum, *total;
  };

  /// Turns the scores of a strip into weights relative to the running maximum, which it raises; `sum` is rescaled to
  /// it.
  template <bool whole>
  static void online_softmax(const Attention& a, const Strip& strip, const float* scores, float* maximum, float* total,
                             float* sum, std::int64_t width, Element* weights) {
    const auto scale = V::all(a.scale * kLog2E), lowest = V::all(kLowest), none = V::all(0.0f);
    const std::int64_t columns = whole ? kBlock : strip.columns;
    alignas(64) float factor[kStripRows];
    alignas(64) float raised[kStripRows];
    for (std::int64_t r = 0; r < kStripRows; ++r) {
      auto top = lowest;
      for (std::int64_t c = 0; c < columns; c += V::lanes) {
        const auto s = scale * V::load(scores + r * kBlock + c);
        top = V::max(top, whole ? s : V::select(visible<V>(a, strip.query + r, strip.key + c), s, lowest));
      }
      const float row_top = V::highest(top);
      raised[r] = row_top > maximum[r] ? row_top : maximum[r];
      factor[r] = maximum[r] - raised[r];
      maximum[r] = raised[r];
    }
    for (std::int64_t r = 0; r < kStripRows; r += V::lanes) V::store(factor + r, exp2<V>(V::load(factor + r)));
    for (std::int64_t r = 0; r < kStripRows; ++r) {
      const auto minus_top = V::all(-raised[r]);
      auto row_total = none;
      for (std::int64_t c = 0; c < columns; c += V::lanes) {
        auto p = exp2<V>(V::fma(scale, V::load(scores + r * kBlock + c), minus_top));
        if (!whole) p = V::select(visible<V>(a, strip.query + r, strip.key + c), p, none);
        row_total = row_total + p;
        V::store(weights + r * kBlock + c, p);
      }
      total[r] = total[r] * factor[r] + V::sum(row_total);
      if (factor[r] == 1.0f) continue;
      const auto f = V::all(factor[r]);
      for (std::int64_t c = 0; c < width; c += V::lanes)
        V::store(sum + r * width + c, f * V::load(sum + r * width + c));
    }
  }

  /// One block of queries of one head against all keys that it sees.
  static void attend(const Attention& a, const Task& t, Space& space, std::int64_t head, std::int64_t block) {
    const std::int64_t rows = t.rows(a, block), padded = round_up(rows, kStripRows), width = t.width / per_unit;
    prepare_rows<A>(elements<A>(a.qkv) + t.query(a, block, head), t.turned(a, a.q_norm), block * kBlock, rows, padded,
                    t.width, space.rows);
    fill_zero<V>(space.sum, kBlock * t.width);
    for (std::int64_t r = 0; r < kBlock; ++r) {
      // A sink is a key whose value is zero.
      const float sink = a.sinks == nullptr ? kLowest : a.sinks[head] * kLog2E;
      space.maximum[r] = sink < kLowest ? kLowest : sink;
      space.total[r] = a.sinks == nullptr ? 0.0f : 1.0f;
    }
    const Unit* queries = units<A>(space.rows);
    const Unit* weights = units<A>(space.weights);
    for (std::int64_t kb = first_key_block(a, block); kb <= block; ++kb) {
      const Unit* keys = space.key_units + kb * width * kBlock;
      const Unit* values = space.value_units + kb * kBlock / per_unit * t.width;
      for (std::int64_t r = 0; r < padded; r += kStripRows) {
        const Strip strip = strip_at(a, block, r, kb);
        float* sum = space.sum + r * t.width;
        Multiply::template multiply<false>(queries + r * width, width, keys, kBlock, width, strip.columns, space.scores,
                                           kBlock);
        bend_scores<V>(a, strip, space.scores);
        const auto softmax = strip.whole ? online_softmax<true> : online_softmax<false>;
        softmax(a, strip, space.scores, space.maximum + r, space.total + r, sum, t.width, space.weights);
        Multiply::template multiply<true>(weights, kBlock / per_unit, values, t.width, strip.columns / per_unit,
                                          t.width, sum, t.width);
      }
    }
    Element* out = elements<A>(a.out) + t.output(a, block, head);
    float* lse = a.lse + (t.sample * a.heads + head) * a.sequence + block * kBlock;
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto inverse = V::all(1.0f / space.total[r]);
      for (std::int64_t c = 0; c < a.head_dim; c += V::lanes) {
        V::store(out + r * t.out_step + c, inverse * V::load(space.sum + r * t.width + c));
      }
      lse[r] = space.maximum[r] + log2f(space.total[r]);
    }
  }
};

template <class Multiply>
constexpr AttentionPass kForward{Forward<Multiply>::workspace_bytes, Forward<Multiply>::run};

}  // namespace
}  // namespace autoround::model::kernels
