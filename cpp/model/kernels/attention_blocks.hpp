// How blocked attention cuts up its work, after FlashAttention-2 (Dao 2023): blocks of 64 queries against blocks of 64
// keys, softmax kept as a running maximum and sum, nothing of size sequence^2 stored. A task lays out the keys and
// values of one kv head once and walks through query heads that share them: all, or one.
//
// The passes are templates over how they multiply (vector_multiply.hpp, tile_multiply.hpp), which has an Arithmetic A
// (fp32_arithmetic.hpp, bf16_arithmetic.hpp):
//
//   V              registers (vectors.hpp)
//   Element        of qkv and the output
//   Unit           per_unit neighbours in k, which are multiplied and summed as one; in C[m, n] += A[m, k] B[k, n], A
//                  is [m][k / per_unit] units, as elements are stored, and B is [k / per_unit][n]
//   units_of_rows  of per_unit rows of elements, the units of V::lanes columns
//   store_units    the same of rows that are in registers
//   add_products   sum + x y, of Operands: units in a register, loaded side by side or one in all lanes
//   copy           elements that fill a register of V
#pragma once

#include "model/kernels/attention_heads.hpp"

namespace autoround::model::kernels {
namespace {

constexpr std::int64_t kBlock = 64;
constexpr std::int64_t kStripRows = 16;  // queries whose scores are made and used at once
constexpr std::int64_t kColumns = 32;    // what widths, and the keys that a strip meets, are padded to
constexpr float kLowest = -1e38f;        // below every score; unlike -infinity its difference to itself is 0
constexpr float kLog2E = 1.44269504f;

template <class A>
inline const typename A::Element* elements(const void* p) {
  return static_cast<const typename A::Element*>(p);
}
template <class A>
inline typename A::Element* elements(void* p) {
  return static_cast<typename A::Element*>(p);
}
/// Rows of elements as units.
template <class A>
inline const typename A::Unit* units(const typename A::Element* rows) {
  return reinterpret_cast<const typename A::Unit*>(rows);
}

/// Hands out 64-byte aligned pieces of a workspace; from a null base it only counts.
class Carver {
 public:
  explicit Carver(void* base) : base_(static_cast<char*>(base)) {}
  template <typename T>
  T* take(std::int64_t count) {
    char* piece = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return reinterpret_cast<T*>(piece);
  }
  std::size_t used() const { return used_; }

 private:
  char* base_;
  std::size_t used_ = 0;
};

/// Where the rows of one task lie, and the sizes that everything is padded to.
struct Task {
  Task(const Attention& a, std::int64_t task) : Task(a, task, a.by_head) {}
  Task(const Attention& a, std::int64_t task, bool by_head)
      : heads(by_head ? 1 : a.heads / a.kv_heads),
        sample(task * heads / a.heads),
        head(task * heads % a.heads),
        kv_head(head * a.kv_heads / a.heads),
        blocks((a.sequence + kBlock - 1) / kBlock),
        width(round_up(a.head_dim, kColumns)),
        row_step((a.heads + 2 * a.kv_heads) * a.head_dim),
        out_step(a.heads * a.head_dim) {}

  std::int64_t heads, sample, head, kv_head;  // `heads` query heads from `head` on
  std::int64_t blocks, width, row_step, out_step;

  std::int64_t rows(const Attention& a, std::int64_t block) const { return least(kBlock, a.sequence - block * kBlock); }
  std::int64_t token(const Attention& a, std::int64_t block) const { return sample * a.sequence + block * kBlock; }
  /// Element offsets in qkv of the first row of a block.
  std::int64_t query(const Attention& a, std::int64_t block, std::int64_t of_head) const {
    return token(a, block) * row_step + of_head * a.head_dim;
  }
  std::int64_t key(const Attention& a, std::int64_t block) const { return query(a, block, a.heads + kv_head); }
  std::int64_t value(const Attention& a, std::int64_t block) const {
    return query(a, block, a.heads + a.kv_heads + kv_head);
  }
  std::int64_t output(const Attention& a, std::int64_t block, std::int64_t of_head) const {
    return token(a, block) * out_step + of_head * a.head_dim;
  }

  /// Rows that are used as they are: values, and the gradient of the output. And those that are normed and rotated.
  Head plain(const Attention& a, std::int64_t step) const { return {a.head_dim, step}; }
  Head turned(const Attention& a, const void* norm) const {
    return {a.head_dim, row_step, norm, a.wide_norm, a.rotary_dim / 2, a.cos, a.sin, a.norm_eps};
  }
};

inline std::int64_t first_key_block(const Attention& a, std::int64_t query_block) {
  const std::int64_t first_key = query_block * kBlock - a.window + 1;
  return a.window == 0 || first_key < 0 ? 0 : first_key / kBlock;
}

/// Which of the keys from `key` on, a register of them, the query sees; none when the query is padding.
template <class V>
inline typename V::Mask visible(const Attention& a, std::int64_t query, std::int64_t key) {
  const std::int64_t end = query < a.sequence ? query - key + 1 : 0;
  return V::between(a.window == 0 ? 0 : query - a.window + 1 - key, end);
}

/// Rows [count][width], count a multiple of 32, as [count / per_unit][width] units: operand B when k runs over the
/// rows.
template <class A>
inline void pair_rows(const typename A::Element* rows, std::int64_t count, std::int64_t width, typename A::Unit* out) {
  using V = typename A::V;
  for (std::int64_t r = 0; r < count; r += A::per_unit, out += width) {
    for (std::int64_t c = 0; c < width; c += V::lanes) {
      V::store_words(out + c, A::units_of_rows(rows + r * width + c, width));
    }
  }
}

/// The same as [width][kBlock / per_unit] units: operand A.
template <class A>
inline void columns_of(const typename A::Element* rows, std::int64_t count, std::int64_t width, typename A::Unit* out) {
  const auto load = [&](std::int64_t unit, std::int64_t c) {
    return A::units_of_rows(rows + A::per_unit * unit * width + c, width);
  };
  transpose_loaded<typename A::V>(load, count / A::per_unit, width, out, kBlock / A::per_unit);
}

/// Rows [kBlock][width] as [width / per_unit][kBlock] units: operand B when k runs along the rows.
template <class A>
inline void turn_rows(const typename A::Element* rows, std::int64_t width, typename A::Unit* out) {
  transpose<typename A::V>(units<A>(rows), kBlock, width / A::per_unit, out, kBlock);
}

/// One strip of 16 queries against one block of keys: how many of the keys the causal edge leaves, and whether every
/// query of it is real and sees all of them.
struct Strip {
  std::int64_t query, key;  // first positions
  std::int64_t columns;     // of keys: 32 or 64
  bool whole;
};

inline Strip strip_at(const Attention& a, std::int64_t query_block, std::int64_t row, std::int64_t key_block) {
  const std::int64_t query = query_block * kBlock + row, key = key_block * kBlock, last = query + kStripRows - 1;
  if (query_block == key_block) return {query, key, round_up(row + kStripRows, kColumns), false};
  return {query, key, kBlock, last < a.sequence && (a.window == 0 || last - a.window < key)};
}

/// Bends the scores of a strip so that times a.scale they stay within the soft limit. Then score * score_bend is the
/// hyperbolic tangent t of what it was, and 1 - t^2 the slope there; without a limit, 0 and 1.
inline float score_bend(const Attention& a) { return a.softcap > 0 ? a.scale / a.softcap : 0.0f; }
template <class V>
inline void bend_scores(const Attention& a, const Strip& strip, float* scores) {
  if (a.softcap <= 0) return;
  const auto exponent = V::all(2.0f * kLog2E * score_bend(a)), limit = V::all(a.softcap / a.scale);
  for (std::int64_t r = 0; r < kStripRows; ++r) {
    for (std::int64_t c = 0; c < strip.columns; c += V::lanes) {
      float* at = scores + r * kBlock + c;
      V::store(at, limit * tanh_of_exponent<V>(exponent * V::load(at)));
    }
  }
}

}  // namespace
}  // namespace autoround::model::kernels
