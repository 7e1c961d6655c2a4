// The fused CPU kernels of a decoder layer as one table of plain functions, chosen once for this CPU. They take raw
// pointers and ranges and know no tensors, threads or gradient graphs: fused_ops_*.cpp allocate, split the work and
// talk to autograd. Each instruction set is compiled in translation units of its own that include nothing but
// intrinsics, so that no inline function of a library header is ever compiled with wider flags and picked by the linker
// for all.
#pragma once

#include <cstddef>
#include <cstdint>

namespace autoround::model::kernels {

using Bf16 = std::uint16_t;  // the upper half of a float

/// Rows of RMSNorm, optionally of a sum. Forward: h = x + delta (when delta is given), y = norm(h) * weight.
/// Backward: dx = grad_h (when given) + the gradient of y with respect to h.
/// T is Bf16 or float; arithmetic is fp32; roundings as in transformers: norm to T, then times weight to T. A wide
/// weight is float whatever T is, and meets the norm before that is rounded.
struct RmsNormForward {
  const void *x = nullptr, *delta = nullptr, *weight = nullptr;  // [rows, width] twice, [width]
  void *h = nullptr, *y = nullptr;                               // h: only with delta
  std::int64_t width = 0;
  float eps = 0;
  bool wide_weight = false;
};
struct RmsNormBackward {
  const void *h = nullptr, *weight = nullptr, *grad_y = nullptr, *grad_h = nullptr;
  void* grad_x = nullptr;
  std::int64_t width = 0;
  float eps = 0;
  bool wide_weight = false;
};

/// Rows of LayerNorm: y = (x - mean) / deviation * weight + bias, rounded once. The weight of row r is row r %
/// weight_rows of [weight_rows, width]; weight and bias may be null.
struct LayerNormForward {
  const void *x = nullptr, *weight = nullptr, *bias = nullptr;
  void* y = nullptr;
  std::int64_t width = 0, weight_rows = 1;
  float eps = 0;
  bool wide_weight = false;  // and bias: float whatever T is
};
struct LayerNormBackward {
  const void *x = nullptr, *weight = nullptr, *grad_y = nullptr;
  void* grad_x = nullptr;
  std::int64_t width = 0, weight_rows = 1;
  float eps = 0;
  bool wide_weight = false;
};

/// Rows of act(x) [rows, width]; gated, of act(gate) * up, where x is gate | up, [rows, 2 * width].
struct ActivationForward {
  const void* x = nullptr;
  void* y = nullptr;
  std::int64_t width = 0;
};
struct ActivationBackward {
  const void *x = nullptr, *grad_y = nullptr;
  void* grad_x = nullptr;  // as x
  std::int64_t width = 0;
};

/// Tokens of which each has `copies` rows, weighed and added up: y[t] = sum over k of weights[t][k]
/// rows[position[k][t]]. Sums are fp32; a product is rounded to T before where weights are of that type.
struct SumCopies {
  const void* rows = nullptr;              // [tokens * copies, width]
  const std::int64_t* position = nullptr;  // [copies, tokens]
  const float* weights = nullptr;          // [tokens, copies], or null: ones
  bool narrow_weights = false;             // their values are of type T: products are rounded to it
  void* y = nullptr;                       // [tokens, width]
  std::int64_t tokens = 0, copies = 0, width = 0;
};
/// Its gradients, of each row and each weight.
struct SumCopiesBackward {
  const void *rows = nullptr, *grad_y = nullptr;
  const std::int64_t* position = nullptr;
  const float* weights = nullptr;
  void* grad_rows = nullptr;
  float* grad_weights = nullptr;
  std::int64_t tokens = 0, copies = 0, width = 0;
};

/// A function over rows [begin, end).
template <typename Arguments>
using RowFunction = void (*)(const Arguments&, std::int64_t begin, std::int64_t end);

struct ActivationKernels {
  RowFunction<ActivationForward> forward, gated_forward;
  RowFunction<ActivationBackward> backward, gated_backward;
};

/// The row functions for one element type.
struct RowKernels {
  RowFunction<RmsNormForward> rms_norm_forward;
  RowFunction<RmsNormBackward> rms_norm_backward;
  RowFunction<LayerNormForward> layer_norm_forward;
  RowFunction<LayerNormBackward> layer_norm_backward;
  ActivationKernels silu, gelu, gelu_tanh, relu;
  RowFunction<SumCopies> sum_copies;  // over tokens, and so is its backward
  RowFunction<SumCopiesBackward> sum_copies_backward;
};

constexpr std::int64_t kMaxHeadDim = 512;

/// Causal attention over a batch of sequences. Rows of qkv are tokens: query heads, then key heads, then value heads.
/// Elements are Bf16 or float; sums, softmax and what is done to heads are fp32. Per-head RMSNorm (when q_norm is
/// given) and rotation (when rotary_dim > 0) are applied inside and undone in the gradient. What is saved between
/// forward and backward is qkv, out and lse.
struct Attention {
  std::int64_t sequence = 0, heads = 0, kv_heads = 0;
  std::int64_t head_dim = 0;    // multiple of 16, at most kMaxHeadDim
  std::int64_t rotary_dim = 0;  // even; 0: no rotation. Element i turns with i + rotary_dim / 2.
  std::int64_t window = 0;      // key k is visible to query q iff q - window < k <= q; 0: k <= q
  float scale = 1, norm_eps = 0;
  float softcap = 0;                                // scores become softcap * tanh(score / softcap); 0: they stay
  const float *cos = nullptr, *sin = nullptr;       // [sequence, rotary_dim / 2]
  const float* sinks = nullptr;                     // [heads]: one more score of each query, of no key; or null
  const void *q_norm = nullptr, *k_norm = nullptr;  // [head_dim] or both null
  bool wide_norm = false;                           // their type is float, and they meet the norm unrounded
  const void* qkv = nullptr;                        // [batch * sequence, (heads + 2 * kv_heads) * head_dim]
  void* out = nullptr;                              // [batch * sequence, heads * head_dim]; read by the backward
  float* lse = nullptr;                             // [batch * heads, sequence], log2 of the sum of exp; likewise
  const void* grad_out = nullptr;                   // as out
  void* grad_qkv = nullptr;                         // as qkv, wholly written
  // A task is a (sample, kv head) with its group of query heads: task = sample * kv_heads + kv_head. Or, by head, a
  // (sample, query head), which lays out keys and values that others lay out too: for where groups are few.
  bool by_head = false;
  // By head, [batch * heads][head_floats], 64-byte aligned: what each makes of the gradients of k and v.
  float* head_sums = nullptr;
};

static inline std::int64_t tasks_of_sample(const Attention& a) { return a.by_head ? a.heads : a.kv_heads; }

struct AttentionPass {
  std::size_t (*workspace_bytes)(const Attention&);                   // for one thread
  void (*run)(const Attention&, std::int64_t task, void* workspace);  // workspace: 64-byte aligned
};

struct AttentionKernels {
  const AttentionPass *forward, *backward;
  /// After a backward by head: adds up head_sums and writes the gradients of k and v. Its tasks are groups.
  const AttentionPass* add_heads;
  std::int64_t (*head_floats)(const Attention&);
};

/// With so few groups tasks are heads. Not a matter of how many threads there are: whether a group's gradients
/// of k and v are summed as one or head by head shows in their last bits.
constexpr std::int64_t kFewGroups = 8;
static inline bool attends_by_head(std::int64_t batch, std::int64_t heads, std::int64_t kv_heads) {
  return heads > kv_heads && batch * kv_heads <= kFewGroups;
}

/// Columns of C that are computed together: what one packed panel of B is wide.
constexpr std::int64_t kPanelColumns = 64;

/// A matrix of bf16 in memory, `step` elements between its rows.
struct Bf16Matrix {
  const Bf16* data = nullptr;
  std::int64_t step = 0, rows = 0, columns = 0;
};

/// C[m, n] = sum over k of A[m, k] B[k, n], plus bias[n]: bf16 in, fp32 sums, rounded once. k counts in pairs of
/// neighbours, as the processor multiplies them. A is read as stored (a_row apart, pairs adjacent) or from packed
/// tiles.
struct Product {
  const Bf16* a = nullptr;
  std::int64_t a_row = 0;              // elements between rows of A; 0: A is tiles
  const Bf16* b = nullptr;             // one panel
  const Bf16* next_b = nullptr;        // the panel that is read next, or null: may be brought nearer meanwhile
  const Bf16* bias = nullptr;          // [columns] or null
  std::int64_t rows = 0, columns = 0;  // columns: at most kPanelColumns
  std::int64_t pairs = 0;              // of A and B
  std::int64_t begin = 0, end = 0;  // the pairs that are summed now; the first call has begin 0, the last end == pairs
  Bf16* c = nullptr;                // written by the last
  std::int64_t c_row = 0;           // elements between rows of C
  bool c_is_large = false;          // more than caches hold
  float* partial = nullptr;         // [rows][kPanelColumns]: sums from one call to the next
};

/// How operands are cut so that the pieces in use fit the caches. Pairs count along k.
struct Cut {
  std::int64_t tile_rows = 0;      // rows of A that are multiplied together
  std::int64_t pair_multiple = 0;  // packed operands end at a multiple of it, with zeros
  std::int64_t depth = 0;          // pairs that are summed before other rows and columns get their turn
  std::int64_t slice_rows = 0;     // rows of A that meet a panel, one after the other
  std::int64_t group_bytes = 0;    // `depth` of the panels that meet a slice, one after the other: of one at least
};

/// Operands are packed by whoever multiplies, piece by piece, so that a piece is in a core's cache when it is used.
/// How they are laid out in there is a matter of the kernels. `pairs` is a multiple of pair_multiple.
struct ProductKernels {
  Cut cut;
  /// B = xᵀ: a panel [pairs][64][2] of at most 64 rows of x; x.columns is even.
  void (*panel_from_rows)(const Bf16Matrix& x, Bf16* panel);
  /// B = x: pairs [first_pair, ...) of a panel [pairs][64][2] from at most 64 columns of x, whose first row is the
  /// first of first_pair. Pieces start at multiples of pair_multiple.
  void (*panel_from_columns)(const Bf16Matrix& x, std::int64_t first_pair, std::int64_t pairs, Bf16* panel);
  /// A = xᵀ, in tiles: at most pairs * round_up(x.columns, tile_rows) units.
  void (*tiles_from_columns)(const Bf16Matrix& x, Bf16* tiles);
  /// Between begin and end a thread may multiply; nothing else that uses the same registers may run there.
  void (*begin)();
  void (*end)();
  void (*multiply)(const Product& product);
};

struct Kernels {
  const char* name;  // "amx_bf16", "avx512_bf16", "avx512", "avx2" or "portable"
  const RowKernels *rows_bf16, *rows_fp32;
  const AttentionKernels *attention_bf16, *attention_fp32;  // for bf16 null where the CPU has no bf16 products
  const ProductKernels* products;                           // likewise
};

/// What matters here of the instructions that this CPU and its operating system offer.
struct CpuFeatures {
  bool avx2 = false, avx512 = false, avx512_bf16 = false, amx_bf16 = false;
};
CpuFeatures cpu_features();

/// The fastest table that runs with `features`. Limits never raise the choice above what the features allow.
/// @param limit "default", "avx2" or "avx512", or anything else for none
/// @param onednn a level as oneDNN names them: where it has no tile registers, none are used here
const Kernels& kernels_for(const CpuFeatures& features, const char* limit, const char* onednn);

/// The level that the environment allows oneDNN, which LibTorch multiplies with: ONEDNN_MAX_CPU_ISA. Null: any.
const char* onednn_limit();

/// The table for this CPU, limited by the environment as LibTorch is: ATEN_CPU_CAPABILITY and onednn_limit().
const Kernels& select_kernels();

}  // namespace autoround::model::kernels
