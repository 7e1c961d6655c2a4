// What a device computes for us beside LibTorch: the kernels of libautoround_cuda.so behind one table, so that
// libautoround.so itself needs no CUDA. Plain structures of device pointers: no LibTorch here, the kernels' own
// compiler reads this header too. All work is queued on the calling thread's current stream; nothing waits for it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "device/values.hpp"

namespace autoround::device {

// ---------------------------------------------------------------------------------------------------------------------
// Rows of activations

/// y = rms_norm(x) * weight, or with `delta` h = x + delta and y of h. Rows are contiguous.
struct RmsNorm {
  Element element = Element::bf16;
  bool wide_weight = false;  // weight is fp32 while x is bf16: the normalized value is then not rounded before it
  std::int64_t rows = 0, width = 0;
  float eps = 1e-6f;
  const void* x = nullptr;
  const void* delta = nullptr;  // null: none
  const void* weight = nullptr;
  void* h = nullptr;  // with delta
  void* y = nullptr;
};
/// Gradient of h from those of y and, where grad_h is not null, of h itself.
struct RmsNormBackward {
  Element element = Element::bf16;
  bool wide_weight = false;
  std::int64_t rows = 0, width = 0;
  float eps = 1e-6f;
  const void *h = nullptr, *weight = nullptr, *grad_y = nullptr, *grad_h = nullptr;
  void* grad_x = nullptr;
};

enum class Gate { silu, gelu, gelu_tanh, relu, clamped_swiglu };
/// y[rows, width] = act(gate) * up of gate_up [rows, 2 * width] = gate | up.
struct GatedActivation {
  Element element = Element::bf16;
  Gate gate = Gate::silu;
  std::int64_t rows = 0, width = 0;
  const void* gate_up = nullptr;
  void* y = nullptr;
};
struct GatedActivationBackward {
  Element element = Element::bf16;
  Gate gate = Gate::silu;
  std::int64_t rows = 0, width = 0;
  const void *gate_up = nullptr, *grad_y = nullptr;
  void* grad_gate_up = nullptr;
};

/// Heads of q, k and v taken out of qkv [tokens, (heads + 2 * kv_heads) * dim]; those of q and k normalized (RMSNorm of
/// each head, where a weight is given) and rotated (pairs (i, i + half) of the leading 2 * half elements, where a table
/// is given). -> q [tokens, heads, dim], k and v [tokens, kv_heads, dim]
struct Heads {
  Element element = Element::bf16;
  std::int64_t tokens = 0, length = 0;  // of all samples, of one
  std::int64_t heads = 0, kv_heads = 0, dim = 0, half = 0;
  float eps = 1e-6f;
  const float *cos = nullptr, *sin = nullptr;       // [length, half]; null: no rotation
  const void *q_norm = nullptr, *k_norm = nullptr;  // [dim], null: no norm
  const void* qkv = nullptr;
  void *q = nullptr, *k = nullptr, *v = nullptr;
};
/// Gradient of qkv from those of q, k and v, which may have any strides but over a head's own elements.
struct HeadsBackward {
  Heads forward;  // qkv as it was; q, k and v are not used
  struct Gradient {
    const void* data = nullptr;
    std::int64_t sample = 0, token = 0, head = 0;  // strides in elements
  } q, k, v;
  void* grad_qkv = nullptr;
};

// ---------------------------------------------------------------------------------------------------------------------
// The loop

/// Where a tuning loop stands. Lives on the device; `decide` and `advance` write it.
struct Progress {
  std::int64_t iteration = 0;  // that runs now
  std::int64_t best_index = -1;
  double best_loss = 3.4028234663852886e38;  // the largest float
  double loss = 0.0;                         // of this iteration
  std::int32_t is_best = 0;                  // the parameters of this iteration are the ones to keep so far
  std::int32_t stale = 0;                    // the loss has not fallen for so long that this iteration is the last
  std::int32_t stopped = 0;                  // nothing is changed any more
  std::int32_t diverged = 0;                 // why: the loss is not finite or exploded
};

/// Samples of a stream copied into a minibatch.
struct Gather {
  const Progress* progress = nullptr;
  const std::int64_t* indices = nullptr;                // [iterations, step_samples]
  std::int64_t step_samples = 0, first = 0, count = 0;  // of a step's samples those from `first` on
  std::int64_t sample_bytes = 0;                        // a multiple of 2
  const void* stream = nullptr;
  void* out = nullptr;
};

/// Squared error of each row over the real tokens and, where `gradient` is not null, scale * 2 * difference, zero on
/// padding. The sample of a row is row / length; with `indices` it is the one that `progress` and they say, and
/// `target` has all samples.
struct Loss {
  Element element = Element::bf16;
  std::int64_t rows = 0, width = 0, length = 0;
  const std::int64_t* lengths = nullptr;  // real tokens by sample
  const Progress* progress = nullptr;
  const std::int64_t* indices = nullptr;  // [iterations, step_samples] or null
  std::int64_t step_samples = 0, first = 0;
  float scale = 1.f;
  const void *prediction = nullptr, *target = nullptr;
  void* gradient = nullptr;
  double* errors = nullptr;  // [rows]
};

/// Adds up the errors of a step and says what becomes of its parameters.
struct Decide {
  Progress* progress = nullptr;
  const double* errors = nullptr;  // [count]
  std::int64_t count = 0;
  const double* elements = nullptr;  // [iterations]: what the sum is divided by
  std::int64_t iterations = 0;
  double largest_loss = 0.0;  // one above it has diverged
  bool keep_last = false;     // the last iteration is the best, whatever its loss
  std::int64_t patience = 0;  // iterations without a lower loss after which tuning stops; 0: never
};

// ---------------------------------------------------------------------------------------------------------------------
// Quantize-dequantize of weights. The numbers are those of quant/rounding.hpp, bit for bit.

/// What a recorded step reads when it runs instead of what it was recorded with.
struct Recorded {
  const Progress* progress = nullptr;
  const float* rates = nullptr;  // [iterations, 2]: of V, of min_scale and max_scale
};

/// A signed step of V and of the factors of the scales.
struct StepPlan {
  float value_rate = 0.f, minmax_rate = 0.f;
  bool is_best = false;
  Recorded recorded;  // progress null: the three above count
  bool tune_scales = true;
  const void* gradient = nullptr;  // dW', like the weight, rows of `columns`
  std::uint8_t* codes = nullptr;   // [rows, columns]: those of the best
  bool packed = false;             // [rows, columns / 2]: two a byte, the first in its low half; where has_tiles()
  void* scales = nullptr;          // as they are stored: ScaleType, e8m0 or e4m3
  std::uint8_t* zeros = nullptr;   // of asymmetric integers
  float* sums = nullptr;           // scratch of tuned scales: [sums, rows, groups], of integers 2 or 4 sums, else 1
};

/// A weight of integers. Rows are contiguous. Arrays of groups are [rows, groups], or [1] when `shared`.
struct IntegerWeight {
  Element element = Element::bf16;
  std::int64_t rows = 0, columns = 0, group = 0, groups = 0;
  bool shared = false, symmetric = true, round_to_bf16 = false;
  ScaleType scale_type = ScaleType::f16;
  float levels = 16.f, threshold = 0.f;
  const void* weight = nullptr;
  Values value;                     // V
  const float* searched = nullptr;  // null: the scale follows from the range
  const float *weight_min = nullptr, *weight_max = nullptr;
  float *min_scale = nullptr, *max_scale = nullptr;
  const float *super_scale = nullptr, *super_minimum = nullptr;  // of super groups, which have none of the above
  float *scale = nullptr, *zero = nullptr;  // scratch: scale and zero point of each group, computed once a call
};

/// The values of a floating-point format: quant::FloatGrid.
struct Grid {
  int bits = 8, mantissa_bits = 3;
  float least_normal = 0x1p-6f, largest = 448.f;
  int largest_exponent = 8;
};
/// How the scale of a group follows from its largest magnitude.
enum class Scaling { linear, power_of_two, nvfp4 };

/// A weight of floating-point numbers. Arrays of groups are [scale_rows, groups], each for `rows_at_once` rows.
struct FloatWeight {
  Element element = Element::bf16;
  Grid grid;
  Scaling scaling = Scaling::linear;
  std::int64_t rows = 0, columns = 0, group = 0, groups = 0, rows_at_once = 1;
  bool round_to_bf16 = false;
  ScaleType scale_type = ScaleType::f32;
  float threshold = 0.f, largest_factor = 1.f;
  const void* weight = nullptr;
  Values value;
  const float* searched = nullptr;
  const float* weight_max = nullptr;
  float* max_scale = nullptr;
  const float* global_scale = nullptr;         // [1], of NVFP4
  float *divisor = nullptr, *scale = nullptr;  // scratch: quant::FloatRow's, of each group, computed once a call
};

/// Groups of a power of two of 8 to `most` columns that fill their rows: kernels then take eight columns at once, from
/// memory at multiples of 16 bytes.
constexpr bool fills_tiles(std::int64_t columns, std::int64_t group, std::int64_t most) {
  return (group & (group - 1)) == 0 && group >= 8 && group <= most && columns % group == 0;
}
constexpr bool has_tiles(const IntegerWeight& w) { return !w.shared && fills_tiles(w.columns, w.group, 256); }
constexpr bool has_tiles(const FloatWeight& w) { return w.rows_at_once == 1 && fills_tiles(w.columns, w.group, 32); }

/// What is done with a weight. Those of a span are independent of each other, and share launches.
template <class Weight>
struct Forward {
  Weight weight;
  void* out = nullptr;  // W'
};
template <class Weight>
struct Update {
  Weight weight;
  StepPlan plan;
};

/// Rounds activations [rows, columns], each group by itself, or all with one scale.
struct InputRounding {
  Element element = Element::bf16;
  bool integer = true;  // else numbers of `grid`
  Grid grid;
  Scaling scaling = Scaling::linear;
  std::int64_t rows = 0, columns = 0, group = 0;
  float levels = 256.f;  // of integers
  bool symmetric = true, is_static = false;
  float scale = 1.f;             // static
  float global_scale = 1.f;      // of NVFP4
  const float* range = nullptr;  // [2], smallest and largest of all: one scale for all tokens; null: a scale a group
  const void* x = nullptr;
  void* out = nullptr;
};

/// An iteration recorded once and run again and again. One that is destroyed between begin() and end() leaves nothing
/// of it behind.
class Graph {
 public:
  virtual ~Graph() = default;
  /// What is queued on this thread's current stream between these two, by any thread, is recorded instead of run.
  /// Memory that is allocated on it meanwhile belongs to the graph.
  virtual void begin() = 0;
  virtual void end() = 0;
  /// Queues the recorded work.
  virtual void run() = 0;
};

class Kernels {
 public:
  virtual ~Kernels() = default;

  virtual void rms_norm(const RmsNorm&) const = 0;
  virtual void rms_norm_backward(const RmsNormBackward&) const = 0;
  virtual void gated_activation(const GatedActivation&) const = 0;
  virtual void gated_activation_backward(const GatedActivationBackward&) const = 0;
  virtual void heads(const Heads&) const = 0;
  virtual void heads_backward(const HeadsBackward&) const = 0;

  virtual void gather(const Gather&) const = 0;
  virtual void loss(const Loss&) const = 0;
  virtual void decide(const Decide&) const = 0;
  /// The next iteration, unless the loop has stopped.
  virtual void advance(Progress*) const = 0;

  virtual void forward(std::span<const Forward<IntegerWeight>>) const = 0;
  virtual void encode(const IntegerWeight&, std::uint8_t* codes, void* scales, std::uint8_t* zeros) const = 0;
  virtual void step(std::span<const Update<IntegerWeight>>) const = 0;
  virtual void forward(std::span<const Forward<FloatWeight>>) const = 0;
  virtual void encode(const FloatWeight&, std::uint8_t* codes, void* scales) const = 0;
  virtual void step(std::span<const Update<FloatWeight>>) const = 0;
  virtual void round_inputs(const InputRounding&) const = 0;

  virtual std::unique_ptr<Graph> make_graph() const = 0;
  /// Gives device memory that LibTorch caches back, that of the host's own work too.
  virtual void release_memory() const = 0;

  /// A stream that waits for no other, by its number in LibTorch.
  virtual std::int64_t make_stream(int device) const = 0;
  /// Compute capability: 90 is 9.0.
  virtual int capability(int device) const = 0;
  /// What it is called, and the version of CUDA that its driver is made for.
  virtual std::string name(int device) const = 0;
};

/// Both libraries come from one build: the version that the core asks for, of the functions by hand, of what they take
/// by its sizes.
inline constexpr std::uint32_t kKernelsVersion =
    5u << 24 | static_cast<std::uint32_t>(sizeof(RmsNorm) + sizeof(RmsNormBackward) + sizeof(GatedActivation) +
                                          sizeof(GatedActivationBackward) + sizeof(Heads) + sizeof(HeadsBackward) +
                                          sizeof(Progress) + sizeof(Gather) + sizeof(Loss) + sizeof(Decide) +
                                          sizeof(Update<IntegerWeight>) * 257 + sizeof(Update<FloatWeight>) * 521 +
                                          sizeof(InputRounding));
/// What libautoround_cuda.so exports under the name "autoround_device_kernels"; null: made for another version.
using KernelsFunction = const Kernels* (*)(std::uint32_t version);

}  // namespace autoround::device
