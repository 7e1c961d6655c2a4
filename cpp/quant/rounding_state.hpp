// State of one weight while its block is tuned: V, the range of each group, and what the best iteration would write.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

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

}  // namespace autoround::quant
