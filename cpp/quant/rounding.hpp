// Quantize-dequantize of one weight with trainable rounding (V) and clipping (min_scale, max_scale): the state, the
// forward pass W,V -> W', and the backward pass with the signed step inside, dW' -> V, scales. docs/algorithm.md
//
// Two implementations of the same numbers: `plain` composes LibTorch operations, `fused` is one pass over memory each
// way, vectorised and picked at run time, or on the device that the weight is on. Given the same W and V all give the
// same W'; given the same dW' the same step.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <gsl/span>
#include <memory>
#include <optional>
#include <string>

#include "device/kernels.hpp"
#include "quant/super_scales.hpp"
#include "quant/weight_format.hpp"

namespace autoround::quant {

/// State of one linear layer while its block is tuned. Rows are output features. G = groups_per_row. With one scale for
/// the tensor the arrays of scales and ranges are [1, 1] here and [1] where they are kept (best_*).
struct RoundingState {
  WeightFormat format;
  // To which scales are rounded before they are used: format.scale_type but for integers whose range is tuned for bf16.
  // Its steps of up to 0.8 % are too coarse to tune with: those are fp16, as in auto-round, or fp32 where they are too
  // large for that, and rounded when they are written.
  at::ScalarType scale_type = at::kHalf;
  at::Tensor weight;  // [out, in] checkpoint values in compute dtype (bf16, or fp32 holding bf16/fp16/fp32 values)
  at::Tensor value;   // V, fp32 [out, in]; undefined while iters == 0. Or int16, so many ticks
  float tick = 1.f;
  at::Tensor min_scale, max_scale;    // fp32 [out, G], clamped to [0, largest_factor] in place by every forward
  at::Tensor weight_min, weight_max;  // fp32 [out, G]: min(groupmin, 0), max(groupmax, 0), computed once
  // Floating-point numbers: weight_max has the largest magnitudes, min_scale and weight_min stay undefined, and arrays
  // of blocks are [rows of blocks, G].
  at::Tensor global_scale;  // of NVFP4, fp32 [1]
  // Found by search_scales, undefined without it: fp32 like max_scale, which multiplies it. Of integers the scale
  // itself, which then does not depend on the range; of floating-point numbers a factor of weight_max.
  at::Tensor searched_scale;
  // In super groups scales are always searched and then stay: no range, no factors of it. Those in use, and those that
  // were found before anything was known of importance.
  SuperScales super, nearest_super;
  // What the best iteration so far would write: filled by `update` when told that this iteration is the best.
  at::Tensor best_codes;        // uint8 [out, in]; of few bits on a device maybe [out, in / 2]: two a byte
  at::Tensor best_scales;       // [out, G], format.scale_type, on a device scale_type
  at::Tensor best_zero_points;  // uint8 [out, G], undefined when symmetric
  bool tune_minmax = true;
  double momentum = 0.0;                                  // how much of the gradients of earlier steps is kept
  at::Tensor value_velocity, min_velocity, max_velocity;  // fp32, like what they move; with momentum only

  device::Recorded recorded;  // on a device, while an iteration is recorded: what its steps read when they run

  /// A range can only shrink, a searched scale also grow.
  double largest_factor() const { return searched_scale.defined() ? 2.0 : 1.0; }
};

/// V = 0 when `trainable`, else undefined; min_scale = max_scale = 1. `tune_minmax` false leaves them there.
/// @param weight bf16 or fp32 [out, in], columns contiguous; kept, not copied.
/// @param tick V is kept in whole ones of 16 bits: for `fused`, steps of whole ticks, and no V beyond 32,767 of them.
/// @throws Error numeric: a value is NaN or infinite, or a scale would overflow format.scale_type.
RoundingState make_rounding_state(const WeightFormat& format, at::Tensor weight, bool tune_minmax, bool trainable,
                                  std::optional<float> tick = {});

/// Where tuning of this state began, not trainable; `searched`: with the scales that were searched, else without.
RoundingState untuned(const RoundingState& state, bool searched);

/// NVFP4 layers that readers run as one matrix have one global scale, that of the largest magnitude among them. States
/// of other formats are left alone.
void share_global_scale(const std::vector<RoundingState*>& states);

/// Integers without super groups.
bool can_have_momentum(const WeightFormat& format);
/// Steps then follow the sign of the gradients' decaying sum, as auto-round's SignSGD with momentum does. Only the
/// plain implementation keeps that sum, which takes as much memory as V. @throws Error unsupported: as
/// can_have_momentum().
void add_momentum(RoundingState& state, double momentum);

/// V as kernels take it.
device::Values values_of(const RoundingState& state);

struct StepRates {
  float value = 0.f, minmax = 0.f;  // learning rates of this iteration (fp32 recursion, see tuner)
};

/// One signed step as an implementation takes it.
class RowStep {
 public:
  RowStep() = default;
  RowStep(const RowStep&) = delete;
  RowStep& operator=(const RowStep&) = delete;
  virtual ~RowStep() = default;
  virtual void rows(std::int64_t first, const at::Tensor& gradient) = 0;
  virtual void finish() = 0;
};

/// W' = qdq(W; V, min_scale, max_scale), written to `out` [out, in] (dtype of weight, may be rows of a larger tensor).
/// Where scales are stored as bf16, W' is rounded to bf16 values even when held in fp32: that is what loaders compute.
void qdq_forward(const RoundingState& state, const at::Tensor& out, bool fused);
/// The same of many weights; those on a device, all on one, share launches.
struct QdqForward {
  const RoundingState* state = nullptr;
  at::Tensor out;
};
void qdq_forward(gsl::span<const QdqForward> weights, bool fused);
/// One signed step from dW' (dtype of weight). When `is_best` the codes and scales of *this* iteration's forward (the
/// parameters before the step) are kept as best_*. sign(0) = 0, sign(NaN) = 0.
///
/// Gradients of min_scale and max_scale follow autograd's chain. For fp16 scales that includes its rounding of each
/// partial gradient to fp16; for others the chain is fp32.
/// Both implementations and all instruction sets take identical steps, except that with one scale for the tensor the
/// sums behind these two gradients run in another order in `plain`, so near-zero ones may differ in sign.
class SignedStep {
 public:
  SignedStep(RoundingState& state, StepRates rates, bool is_best, bool fused);
  /// Steps rows [first, first + gradient.size(0)), each once in a step. Fused: threads may bring rows of their own at
  /// once. Plain: all rows in one call.
  void rows(std::int64_t first, const at::Tensor& gradient);
  /// Once, after all rows.
  void finish();

 private:
  RoundingState* state_;
  std::unique_ptr<RowStep> step_;
};
/// The step as a whole, of one or, like qdq_forward, of many.
void qdq_update(RoundingState& state, const at::Tensor& gradient, StepRates rates, bool is_best, bool fused);
struct QdqUpdate {
  RoundingState* state = nullptr;
  at::Tensor gradient;  // contiguous
  StepRates rates;
};
void qdq_update(gsl::span<const QdqUpdate> weights, bool is_best, bool fused);
/// Keeps the codes and scales of the current parameters as best_*: the step of a best iteration without any gradient.
void keep_best(RoundingState& state);
/// Codes and scales at the current parameters, whose min_scale and max_scale are clamped in place as in the forward
/// pass. With V undefined this is round-to-nearest.
QuantizedWeight quantize(const RoundingState& state, const std::string& name);
/// The best iteration's, as kept by qdq_update. @throws Error invalid_state: no iteration has been the best.
QuantizedWeight best(const RoundingState& state, const std::string& name);

/// Name of the instruction set that `fused` uses here: "avx512", "avx2", "portable".
const char* kernel_name();

}  // namespace autoround::quant
