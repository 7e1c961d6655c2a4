// Quantize-dequantize of one weight with trainable rounding (V) and clipping (min_scale, max_scale): the forward pass
// W,V -> W', and the backward pass with the signed step inside, dW' -> V, scales. docs/algorithm.md
//
// Two implementations of the same numbers: `plain` composes LibTorch operations, `fused` is one pass over memory each
// way, vectorised and picked at run time, or on the device that the weight is on. Given the same W and V all give the
// same W'; given the same dW' the same step.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <gsl/span>
#include <memory>
#include <string>

#include "quant/rounding_state.hpp"

namespace autoround::quant {

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
