// Blocked causal attention by VDPBF16PS, after FlashAttention-2 (Dao 2023): blocks of 64 queries against blocks of 64 keys,
// softmax kept as a running maximum and sum, nothing of size sequence^2 stored. Forward and backward work on the keys and
// values of one kv head, laid out for the products once, and walk through the query heads that share them.
#include <math.h>

#include "model/kernels/bf16_heads.hpp"
#include "model/kernels/tables.hpp"

namespace autoround::model::kernels {
namespace {

constexpr std::int64_t kBlock = 64;
constexpr float kLowest = -1e38f;  // below every score; unlike -infinity its difference to itself is 0
constexpr float kLog2E = 1.44269504f;

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
  Task(const Attention& a, std::int64_t task)
      : sample(task / a.kv_heads),
        kv_head(task % a.kv_heads),
        group(a.heads / a.kv_heads),
        blocks((a.sequence + kBlock - 1) / kBlock),
        width(round_up(a.head_dim, kTileColumns)),
        row_step((a.heads + 2 * a.kv_heads) * a.head_dim),
        out_step(a.heads * a.head_dim) {}

  std::int64_t sample, kv_head, group, blocks, width, row_step, out_step;

  std::int64_t rows(const Attention& a, std::int64_t block) const { return least(kBlock, a.sequence - block * kBlock); }
  std::int64_t token(const Attention& a, std::int64_t block) const { return sample * a.sequence + block * kBlock; }
  /// Element offsets in qkv of the first row of a block.
  std::int64_t query(const Attention& a, std::int64_t block, std::int64_t head) const {
    return token(a, block) * row_step + head * a.head_dim;
  }
  std::int64_t key(const Attention& a, std::int64_t block) const { return query(a, block, a.heads + kv_head); }
  std::int64_t value(const Attention& a, std::int64_t block) const {
    return query(a, block, a.heads + a.kv_heads + kv_head);
  }
  std::int64_t output(const Attention& a, std::int64_t block, std::int64_t head) const {
    return token(a, block) * out_step + head * a.head_dim;
  }

  Head plain(const Attention& a, std::int64_t step) const { return {a.head_dim, step}; }
  Head turned(const Attention& a, const Bf16* norm) const {
    return {a.head_dim, row_step, norm, a.rotary_dim / 2, a.cos, a.sin, a.norm_eps};
  }
};

std::int64_t first_key_block(const Attention& a, std::int64_t query_block) {
  const std::int64_t first_key = query_block * kBlock - a.window + 1;
  return a.window == 0 || first_key < 0 ? 0 : first_key / kBlock;
}

/// Which of the 16 keys from `key` on the query sees.
inline __mmask16 visible(const Attention& a, std::int64_t query, std::int64_t key) {
  const std::int64_t end = query - key + 1;
  const __mmask16 causal = end <= 0 ? __mmask16{0} : lanes(end);
  const std::int64_t hidden = a.window == 0 ? 0 : query - a.window + 1 - key;
  return hidden <= 0 ? causal : static_cast<__mmask16>(causal & ~lanes(hidden));
}

/// One strip of 8 queries against one block of keys: how many of the keys the causal edge leaves.
struct Strip {
  std::int64_t query, key;  // first positions
  std::int64_t keys;        // 8..64, multiple of 8
  std::int64_t vectors() const { return (keys + kLanes - 1) / kLanes; }
  std::int64_t columns() const { return round_up(keys, kTileColumns); }
};

inline Strip strip_at(std::int64_t query_block, std::int64_t row, std::int64_t key_block) {
  return {query_block * kBlock + row, key_block * kBlock, query_block == key_block ? row + kTileRows : kBlock};
}

// ---------------------------------------------------------------------------------------------------------- forward

struct ForwardSpace {
  ForwardSpace(const Task& t, void* base) : carver(base) {
    key_units = carver.take<Unit>(t.blocks * t.width / 2 * kBlock);
    value_units = carver.take<Unit>(t.blocks * kBlock / 2 * t.width);
    rows = carver.take<Bf16>(kBlock * t.width);
    sum = carver.take<float>(kBlock * t.width);
    scores = carver.take<float>(kTileRows * kBlock);
    weights = carver.take<Bf16>(kTileRows * kBlock);
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
inline void online_softmax(const Attention& a, const Strip& strip, const float* scores, float* maximum, float* total,
                           float* sum, std::int64_t width, Bf16* weights) {
  const __m512 scale = _mm512_set1_ps(a.scale * kLog2E), lowest = _mm512_set1_ps(kLowest);
  const std::int64_t vectors = strip.vectors();
  alignas(64) float factor[kLanes] = {};
  alignas(64) float raised[kLanes] = {};
  for (std::int64_t r = 0; r < kTileRows; ++r) {
    __m512 top = lowest;
    for (std::int64_t v = 0; v < vectors; ++v) {
      const __mmask16 m = visible(a, strip.query + r, strip.key + v * kLanes);
      const __m512 s = _mm512_mul_ps(scale, _mm512_loadu_ps(scores + r * kBlock + v * kLanes));
      top = _mm512_mask_max_ps(top, m, top, s);
    }
    const float row_top = _mm512_reduce_max_ps(top);
    raised[r] = row_top > maximum[r] ? row_top : maximum[r];
    factor[r] = maximum[r] - raised[r];
    maximum[r] = raised[r];
  }
  _mm512_store_ps(factor, exp2(_mm512_load_ps(factor)));
  for (std::int64_t r = 0; r < kTileRows; ++r) {
    const __m512 top = _mm512_set1_ps(raised[r]);
    __m512 row_total = _mm512_setzero_ps();
    for (std::int64_t v = 0; v < vectors; ++v) {
      const __mmask16 m = visible(a, strip.query + r, strip.key + v * kLanes);
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

void forward_block(const Attention& a, const Task& t, ForwardSpace& space, std::int64_t head, std::int64_t block) {
  const std::int64_t rows = t.rows(a, block), padded = round_up(rows, kTileRows);
  prepare_rows(a.qkv + t.query(a, block, head), t.turned(a, a.q_norm), block * kBlock, rows, padded, t.width, space.rows);
  for (std::int64_t i = 0; i < kBlock * t.width; i += kLanes) _mm512_store_ps(space.sum + i, _mm512_setzero_ps());
  for (std::int64_t r = 0; r < kBlock; ++r) {
    space.maximum[r] = kLowest;
    space.total[r] = 0;
  }
  const auto* queries = reinterpret_cast<const Unit*>(space.rows);
  const auto* weights = reinterpret_cast<const Unit*>(space.weights);
  for (std::int64_t kb = first_key_block(a, block); kb <= block; ++kb) {
    const Unit* keys = space.key_units + kb * (t.width / 2) * kBlock;
    const Unit* values = space.value_units + kb * (kBlock / 2) * t.width;
    for (std::int64_t r = 0; r < padded; r += kTileRows) {
      const Strip strip = strip_at(block, r, kb);
      float* sum = space.sum + r * t.width;
      multiply<false>({queries + r * t.width / 2, t.width / 2, 1}, keys, kBlock, t.width / 2, strip.columns(), space.scores,
                      kBlock);
      online_softmax(a, strip, space.scores, space.maximum + r, space.total + r, sum, t.width, space.weights);
      multiply<true>({weights, kBlock / 2, 1}, values, t.width, strip.keys / 2, t.width, sum, t.width);
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

void forward(const Attention& a, std::int64_t task, void* workspace) {
  const Task t(a, task);
  ForwardSpace space(t, workspace);
  for (std::int64_t b = 0; b < t.blocks; ++b) {
    prepare_rows(a.qkv + t.key(a, b), t.turned(a, a.k_norm), b * kBlock, t.rows(a, b), kBlock, t.width, space.rows);
    transpose_rows(space.rows, kBlock, t.width, space.key_units + b * (t.width / 2) * kBlock);
    prepare_rows(a.qkv + t.value(a, b), t.plain(a, t.row_step), b * kBlock, t.rows(a, b), kBlock, t.width, space.rows);
    pair_rows(space.rows, kBlock, t.width, space.value_units + b * (kBlock / 2) * t.width);
  }
  for (std::int64_t h = t.kv_head * t.group; h < (t.kv_head + 1) * t.group; ++h) {
    for (std::int64_t b = 0; b < t.blocks; ++b) forward_block(a, t, space, h, b);
  }
}

std::size_t forward_workspace(const Attention& a) { return ForwardSpace(Task(a, 0), nullptr).carver.used(); }

// --------------------------------------------------------------------------------------------------------- backward

struct BackwardSpace {
  BackwardSpace(const Task& t, void* base) : carver(base) {
    key_columns = carver.take<Unit>(t.blocks * t.width / 2 * kBlock);
    value_columns = carver.take<Unit>(t.blocks * t.width / 2 * kBlock);
    key_pairs = carver.take<Unit>(t.blocks * kBlock / 2 * t.width);
    grad_key = carver.take<float>(t.blocks * kBlock * t.width);
    grad_value = carver.take<float>(t.blocks * kBlock * t.width);
    query = carver.take<Bf16>(kBlock * t.width);
    grad = carver.take<Bf16>(kBlock * t.width);
    query_pairs = carver.take<Unit>(kBlock / 2 * t.width);
    grad_pairs = carver.take<Unit>(kBlock / 2 * t.width);
    grad_query = carver.take<float>(kBlock * t.width);
    delta = carver.take<float>(kBlock);
    lse = carver.take<float>(kBlock);
    scores = carver.take<float>(kTileRows * kBlock);
    products = carver.take<float>(kTileRows * kBlock);
    weights = carver.take<Unit>(kBlock / 2 * kBlock);
    slopes = carver.take<Unit>(kBlock / 2 * kBlock);
    slope_rows = carver.take<Bf16>(kBlock * kBlock);
  }
  Carver carver;
  Unit *key_columns, *value_columns, *key_pairs;  // whole sequence: [block][width / 2][64] twice, [block][32][width]
  float *grad_key, *grad_value;                   // whole sequence: [block][64][width]
  Bf16 *query, *grad;                             // one block of queries and of the output's gradient, rows
  Unit *query_pairs, *grad_pairs;                 // the same as row pairs
  float* grad_query;
  float *delta, *lse;                             // per query: grad . out, log-sum-exp
  float *scores, *products;                       // one strip: q.k and grad.v
  Unit *weights, *slopes;                         // P and dS as pairs of queries, [32][64]
  Bf16* slope_rows;                               // dS as rows
};

/// P = exp2(scores - lse) and dS = P (products - delta) of one strip, each rounded to bf16 and laid out for its products.
inline void strip_slopes(const Attention& a, const Strip& strip, const BackwardSpace& space, std::int64_t row) {
  const __m512 scale = _mm512_set1_ps(a.scale * kLog2E);
  for (std::int64_t r = 0; r < kTileRows; r += 2) {
    const float* lse = space.lse + row + r;
    const float* delta = space.delta + row + r;
    for (std::int64_t v = 0; v < strip.vectors(); ++v) {
      const std::int64_t column = v * kLanes;
      __m256i p[2], ds[2];
      for (std::int64_t i = 0; i < 2; ++i) {
        const __mmask16 seen = strip.query + r + i < a.sequence ? visible(a, strip.query + r + i, strip.key + column) : __mmask16{0};
        const __m512 score = _mm512_loadu_ps(space.scores + (r + i) * kBlock + column);
        const __m512 product = _mm512_loadu_ps(space.products + (r + i) * kBlock + column);
        const __m512 weight = _mm512_maskz_mov_ps(seen, exp2(_mm512_fmsub_ps(scale, score, _mm512_set1_ps(lse[i]))));
        p[i] = float_to_bf16(weight);
        ds[i] = float_to_bf16(_mm512_maskz_mul_ps(seen, weight, _mm512_sub_ps(product, _mm512_set1_ps(delta[i]))));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(space.slope_rows + (row + r + i) * kBlock + column), ds[i]);
      }
      const std::int64_t unit = (row + r) / 2 * kBlock + column;
      _mm512_storeu_si512(space.weights + unit, interleave(p[0], p[1]));
      _mm512_storeu_si512(space.slopes + unit, interleave(ds[0], ds[1]));
    }
  }
}

/// One block of queries against one block of keys: adds to the gradients of all three.
void backward_pair(const Attention& a, const Task& t, BackwardSpace& space, std::int64_t block, std::int64_t kb) {
  const std::int64_t padded = round_up(t.rows(a, block), kTileRows), units = t.width / 2;
  const Unit* keys = space.key_columns + kb * units * kBlock;
  const Unit* values = space.value_columns + kb * units * kBlock;
  const Unit* key_pairs = space.key_pairs + kb * kBlock / 2 * t.width;
  const auto* queries = reinterpret_cast<const Unit*>(space.query);
  const auto* grads = reinterpret_cast<const Unit*>(space.grad);
  const auto* slope_rows = reinterpret_cast<const Unit*>(space.slope_rows);
  for (std::int64_t r = 0; r < padded; r += kTileRows) {
    const Strip strip = strip_at(block, r, kb);
    multiply<false>({queries + r * units, units, 1}, keys, kBlock, units, strip.columns(), space.scores, kBlock);
    multiply<false>({grads + r * units, units, 1}, values, kBlock, units, strip.columns(), space.products, kBlock);
    strip_slopes(a, strip, space, r);
    multiply<true>({slope_rows + r * kBlock / 2, kBlock / 2, 1}, key_pairs, t.width, strip.keys / 2, t.width,
                   space.grad_query + r * t.width, t.width);
  }
  for (std::int64_t k = 0; k < t.rows(a, kb); k += kTileRows) {  // keys see only the queries from their own position on
    const std::int64_t first = kb == block ? k / 2 : 0, pairs = padded / 2 - first;
    const std::int64_t from = first * kBlock + k;
    float* grad_value = space.grad_value + (kb * kBlock + k) * t.width;
    float* grad_key = space.grad_key + (kb * kBlock + k) * t.width;
    multiply<true>({space.weights + from, 1, kBlock}, space.grad_pairs + first * t.width, t.width, pairs, t.width, grad_value,
                   t.width);
    multiply<true>({space.slopes + from, 1, kBlock}, space.query_pairs + first * t.width, t.width, pairs, t.width, grad_key,
                   t.width);
  }
}

void backward_block(const Attention& a, const Task& t, BackwardSpace& space, std::int64_t head, std::int64_t block) {
  const std::int64_t rows = t.rows(a, block), padded = round_up(rows, kTileRows);
  const Bf16* source = a.qkv + t.query(a, block, head);
  const Bf16* grad_out = a.grad_out + t.output(a, block, head);
  const Bf16* out = a.out + t.output(a, block, head);
  prepare_rows(source, t.turned(a, a.q_norm), block * kBlock, rows, padded, t.width, space.query);
  prepare_rows(grad_out, t.plain(a, t.out_step), block * kBlock, rows, padded, t.width, space.grad);
  pair_rows(space.query, padded, t.width, space.query_pairs);
  pair_rows(space.grad, padded, t.width, space.grad_pairs);
  for (std::int64_t r = 0; r < padded; ++r) {
    __m512 dot = _mm512_setzero_ps();
    for (std::int64_t c = 0; r < rows && c < a.head_dim; c += kLanes) {
      dot = _mm512_fmadd_ps(load_bf16(grad_out + r * t.out_step + c), load_bf16(out + r * t.out_step + c), dot);
    }
    space.delta[r] = _mm512_reduce_add_ps(dot);
    space.lse[r] = r < rows ? a.lse[(t.sample * a.heads + head) * a.sequence + block * kBlock + r] : 0.0f;
  }
  for (std::int64_t i = 0; i < kBlock * t.width; i += kLanes) _mm512_store_ps(space.grad_query + i, _mm512_setzero_ps());
  for (std::int64_t kb = first_key_block(a, block); kb <= block; ++kb) backward_pair(a, t, space, block, kb);
  restore_rows(space.grad_query, a.scale, source, t.turned(a, a.q_norm), block * kBlock, rows, t.width,
               a.grad_qkv + t.query(a, block, head));
}

void backward(const Attention& a, std::int64_t task, void* workspace) {
  const Task t(a, task);
  BackwardSpace space(t, workspace);
  for (std::int64_t b = 0; b < t.blocks; ++b) {
    const std::int64_t columns = b * (t.width / 2) * kBlock;
    prepare_rows(a.qkv + t.key(a, b), t.turned(a, a.k_norm), b * kBlock, t.rows(a, b), kBlock, t.width, space.query);
    transpose_rows(space.query, kBlock, t.width, space.key_columns + columns);
    pair_rows(space.query, kBlock, t.width, space.key_pairs + b * (kBlock / 2) * t.width);
    prepare_rows(a.qkv + t.value(a, b), t.plain(a, t.row_step), b * kBlock, t.rows(a, b), kBlock, t.width, space.query);
    transpose_rows(space.query, kBlock, t.width, space.value_columns + columns);
  }
  for (std::int64_t i = 0; i < t.blocks * kBlock * t.width; i += kLanes) {
    _mm512_store_ps(space.grad_key + i, _mm512_setzero_ps());
    _mm512_store_ps(space.grad_value + i, _mm512_setzero_ps());
  }
  for (std::int64_t h = t.kv_head * t.group; h < (t.kv_head + 1) * t.group; ++h) {
    for (std::int64_t b = 0; b < t.blocks; ++b) backward_block(a, t, space, h, b);
  }
  for (std::int64_t b = 0; b < t.blocks; ++b) {
    const std::int64_t first = b * kBlock * t.width;
    restore_rows(space.grad_key + first, a.scale, a.qkv + t.key(a, b), t.turned(a, a.k_norm), b * kBlock, t.rows(a, b), t.width,
                 a.grad_qkv + t.key(a, b));
    restore_rows(space.grad_value + first, 1.0f, a.qkv + t.value(a, b), t.plain(a, t.row_step), b * kBlock, t.rows(a, b), t.width,
                 a.grad_qkv + t.value(a, b));
  }
}

std::size_t backward_workspace(const Attention& a) { return BackwardSpace(Task(a, 0), nullptr).carver.used(); }

}  // namespace

const AttentionKernels avx512_bf16_attention{kMaxHeadDim, forward_workspace, backward_workspace, forward, backward};

}  // namespace autoround::model::kernels
