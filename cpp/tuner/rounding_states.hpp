// The trainable state of all quantized linears of one block, and their quantized-dequantized weights W', which live in
// the block's own projections: while these states exist it computes with W', and they hold the original weights.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/linear_products.hpp"
#include "model/projection.hpp"
#include "quant/rounding.hpp"
#include "tuner/importance.hpp"
#include "tuner/schedule.hpp"
#include "tuner/tuned_input.hpp"

namespace autoround::tuner {

struct TuneOptions;

/// One quantized linear: rows [row, row + rows) of a projection.
struct TunedPart {
  std::string name;
  std::int64_t row = 0, rows = 0;
  quant::RoundingState state;
  LayerRates rates;
};

/// A projection with at least one quantized part.
struct TunedProjection {
  model::Projection* projection = nullptr;  // its weight is W'
  std::vector<TunedPart> parts;
  at::Tensor gradient_sum;  // fp32, like the weight; undefined unless gradients are accumulated
  // Since the step began. An expert that no token went to has no gradient, in some passes or in all.
  bool has_gradient = false, stepped = false;
  // An expert that no token goes to for a while is left alone: W' and the best codes are still those of its parameters.
  bool weight_is_current = false, best_is_current = false;
  std::optional<TunedInput> input;  // unset: not quantized
};

/// What a backward pass does with the gradients of W'. A step is one pass, or several whose gradients add up.
struct BackwardPass {
  bool first = true;     // of its step
  bool last = true;      // of its step, which is taken here
  bool is_best = false;  // the parameters of this step's forward are the best so far: keep their codes
};

class RoundingStates {
 public:
  /// Takes over the weights of the linears in `projections` that `formats` names; other names in it are of other
  /// blocks. With options.iters == 0 nothing is trainable. Call write_weights before the block is used.
  RoundingStates(const std::vector<model::Projection*>& projections,
                 const std::map<std::string, quant::WeightFormat>& formats, const TuneOptions& options);
  RoundingStates(const RoundingStates&) = delete;
  RoundingStates& operator=(const RoundingStates&) = delete;

  /// Null when no part of `projection` is quantized.
  TunedProjection* find(const model::Projection& projection) noexcept;
  bool empty() const noexcept { return projections_.empty(); }

  /// Searches the scales of all linears that `options` search: tuning starts there.
  void search_scales(const Importance& importance, const TuneOptions& options);
  bool searched() const noexcept { return searched_; }
  /// Of any linear whose scales were searched.
  bool drops_outliers() const noexcept { return drops_outliers_; }

  /// Whether inputs need to be seen before anything is rounded: `observe` those of every linear, then finish.
  bool needs_calibration() const noexcept;
  void observe(const model::Projection& projection, const at::Tensor& x);
  /// Experts that saw no input take the largest magnitude that others with their role saw.
  void finish_calibration();

  /// W' = qdq(W; V, scales) at the current parameters: round-to-nearest before the first step.
  void write_weights();
  /// W' = what a loader will compute from these codes; inputs are rounded with their scales.
  void write_weights(const std::vector<quant::QuantizedWeight>& weights);

  /// Says what the gradients that follow are for.
  void begin(BackwardPass pass) { pass_ = pass; }
  /// After the last pass of a step: takes it where only earlier passes had gradients, and keeps the codes of the best
  /// where none had any, whose parameters stay as they are.
  void finish_step();
  /// Computes dW' = output_gradientᵀ · input of one projection and steps its parts with it, or adds it up until the
  /// last pass of the step. The input is what the product was computed from, that is rounded.
  void apply_gradient(TunedProjection& tuned, const at::Tensor& output_gradient, const at::Tensor& input,
                      model::LinearProducts& products);
  /// The same of many at once, each with its dW', contiguous, and without a trained input.
  void apply_gradients(const std::vector<std::pair<TunedProjection*, at::Tensor>>& gradients);
  bool fused() const noexcept { return fused_; }
  /// Learning rates of the next iteration.
  void advance();

  /// Steps that follow are recorded: each time they run they read rates and what becomes of them from `progress`, on
  /// the device, of which there are `iterations`.
  void record(const device::Progress* progress, std::int64_t iterations);
  void end_record() noexcept;
  /// A step was begun whose work was never run: W' is not what write_weights() was to make of it, and no gradient came.
  void abandon_step() noexcept;
  /// Whether iterations can be recorded: by the device's kernels, and nothing of them asks the host for anything.
  bool can_record() const noexcept;

  std::vector<quant::QuantizedWeight> nearest() const;  // round-to-nearest, whatever was searched or tuned
  std::vector<quant::QuantizedWeight> rounded() const;  // the same with searched scales
  std::vector<quant::QuantizedWeight> best() const;     // of the step that was last begun as the best

 private:
  /// Calls something with what takes dW' of `tuned` in blocks of rows.
  using Compute = std::function<void(const model::LinearProducts::TakeRows&)>;
  void take_gradient(TunedProjection& tuned, const Compute& compute);
  at::Tensor summed(TunedProjection& tuned, std::int64_t first, const at::Tensor& rows);
  std::vector<quant::QuantizedWeight> round(bool searched) const;

  bool fused_, searched_ = false, drops_outliers_ = false, has_experts_ = false;
  BackwardPass pass_;
  std::vector<at::Tensor> rate_tables_;  // that recorded steps read
  std::vector<TunedProjection> projections_;
};

}  // namespace autoround::tuner
