// Quantize-dequantize in one pass over memory each way: rows shared among the threads of LibTorch's pool, kernels.hpp
// inside.
#pragma once

#include <memory>

#include "quant/kernels.hpp"
#include "quant/rounding.hpp"

namespace autoround::quant::fused {

/// Clamps min_scale and max_scale in place. Weight and output may be rows of larger tensors.
void forward(const RoundingState& state, const at::Tensor& out, const Kernels& kernels);
/// One signed step, rows at a time; with `is_best` the codes and scales from before it are kept in best_*.
class Step final : public RowStep {
 public:
  Step(RoundingState& state, StepRates rates, bool is_best, const Kernels& kernels);
  ~Step() override;
  /// Several threads may step rows of their own at once.
  void rows(std::int64_t first, const at::Tensor& gradient) override;
  /// After all rows: the step of a scale that they share.
  void finish() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};
/// The step as a whole.
void update(RoundingState& state, const at::Tensor& gradient, StepRates rates, bool is_best, const Kernels& kernels);
/// Codes, scales and zero points at the current parameters; min_scale and max_scale are clamped in place.
QuantizedWeight quantize(const RoundingState& state, const Kernels& kernels);

}  // namespace autoround::quant::fused
