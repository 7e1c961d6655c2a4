#include "quant/rounding_state.hpp"

#include <ATen/ATen.h>

#include <string>
#include <utility>

#include "base/error.hpp"
#include "model/mapped_memory.hpp"
#include "quant/float_rounding.hpp"
#include "quant/kernels.hpp"

namespace autoround::quant {
namespace {

struct Range {
  at::Tensor low, high;  // fp32 [out, G]
};

/// min(groupmin, 0) and max(groupmax, 0). Columns that do not fill a group are a group of their own.
Range group_ranges(const WeightFormat& format, const at::Tensor& weight) {
  if (format.group == 0) {
    return {weight.min().reshape({1, 1}).to(at::kFloat).clamp_max_(0),
            weight.max().reshape({1, 1}).to(at::kFloat).clamp_min_(0)};
  }
  const std::int64_t out = weight.size(0), in = weight.size(1), columns = format.columns_per_group(in);
  const std::int64_t whole = in / columns;
  const at::Tensor groups = weight.narrow(1, 0, whole * columns).reshape({out, whole, columns});
  at::Tensor low = groups.amin(-1), high = groups.amax(-1);
  if (whole * columns < in) {
    const at::Tensor rest = weight.narrow(1, whole * columns, in - whole * columns);
    low = at::cat({low, rest.amin(1, true)}, 1);
    high = at::cat({high, rest.amax(1, true)}, 1);
  }
  return {low.to(at::kFloat).clamp_max_(0), high.to(at::kFloat).clamp_min_(0)};
}

/// The largest finite value that a range may span, so that its scale is finite in the dtype it is stored in.
double largest_scale(at::ScalarType type) {
  return type == at::kHalf ? 65504. : 3.3895e38;  // bf16 and fp32 share the exponent; the smaller of the two
}

/// -> the scale that the widest group needs; of numbers whose scales reach as far as any weight 0.
double check_ranges(const WeightFormat& format, const Range& range) {
  if (!at::isfinite(range.low).all().item<bool>() || !at::isfinite(range.high).all().item<bool>()) {
    fail(Code::numeric, "weight", "The weight holds a NaN or an infinity; only finite values can be quantized.");
  }
  if (is_float(format.number) && format.number != Number::fp8) return 0.0;  // their scales reach as far as bf16
  const at::Tensor low = range.low.to(at::kDouble), high = range.high.to(at::kDouble);
  const double steps = is_float(format.number) ? e4m3.largest : static_cast<double>(format.levels() / 2);
  const at::Tensor scale =
      format.symmetric ? at::maximum(-low, high) / steps : (high - low) / static_cast<double>(format.levels() - 1);
  const double largest = scale.max().item<double>();
  if (largest > largest_scale(format.scale_type)) {
    fail(Code::numeric, "weight",
         "A group needs the scale " + std::to_string(largest) + ", which " + at::toString(format.scale_type) +
             " cannot hold; set scale_dtype to float32 or leave this module unquantized.");
  }
  return largest;
}

at::Tensor zeros_like_weight(const at::Tensor& weight, at::ScalarType dtype) {
  return model::lasting_zeros(weight.sizes(), dtype, weight.device());
}

/// In which scales are tuned, the largest of them `widest`: RoundingState::scale_type.
at::ScalarType tuned_scale_type(const WeightFormat& format, double widest) {
  if (format.scale_type != at::kBFloat16 || is_float(format.number) || format.has_super_groups())
    return format.scale_type;
  return widest <= largest_scale(at::kHalf) ? at::kHalf : at::kFloat;
}

}  // namespace

RoundingState make_rounding_state(const WeightFormat& format, at::Tensor weight, bool tune_minmax, bool trainable,
                                  std::optional<float> tick) {
  const at::ScalarType dtype = weight.scalar_type();
  if (weight.dim() != 2 || weight.numel() == 0 || (dtype != at::kBFloat16 && dtype != at::kFloat)) {
    fail(Code::unsupported, "weight",
         std::string("A weight to quantize is a non-empty matrix of bfloat16 or float32, not ") + at::toString(dtype) +
             " of " + std::to_string(weight.dim()) + " dimensions and " + std::to_string(weight.numel()) + " values.");
  }
  RoundingState state;
  state.format = format;
  state.weight = weight.stride(1) == 1 ? std::move(weight) : weight.contiguous();
  state.tune_minmax = tune_minmax;
  if (trainable) state.value = zeros_like_weight(state.weight, tick ? at::kShort : at::kFloat);
  if (tick) state.tick = *tick;
  const Range range = group_ranges(format, state.weight);
  const double widest = check_ranges(format, range);
  state.scale_type = trainable && tune_minmax ? tuned_scale_type(format, widest) : format.scale_type;
  if (format.has_super_groups()) {
    state.super = state.nearest_super = search_super_scales(format, state.weight, {}, kernels());
    return state;
  }
  if (is_float(format.number)) {
    state.weight_max = floats::magnitudes(format, range.low, range.high);
    if (format.number == Number::nvfp4) state.global_scale = floats::global_scale(state.weight_max);
  } else {
    state.weight_min = range.low;
    state.weight_max = range.high;
    state.min_scale = at::ones_like(state.weight_min);
  }
  state.max_scale = at::ones_like(state.weight_max);
  return state;
}

RoundingState untuned(const RoundingState& state, bool searched) {
  RoundingState result;
  result.format = state.format;
  result.scale_type = state.format.scale_type;
  result.weight = state.weight;
  result.tune_minmax = state.tune_minmax;
  result.weight_min = state.weight_min;
  result.weight_max = state.weight_max;
  result.global_scale = state.global_scale;
  if (state.min_scale.defined()) result.min_scale = at::ones_like(state.min_scale);
  if (state.max_scale.defined()) result.max_scale = at::ones_like(state.max_scale);
  result.nearest_super = state.nearest_super;
  result.super = searched ? state.super : state.nearest_super;
  if (searched) result.searched_scale = state.searched_scale;
  return result;
}

void share_global_scale(const std::vector<RoundingState*>& states) {
  const auto has_one = [](const RoundingState* state) { return state->global_scale.defined(); };
  at::Tensor least;
  for (const RoundingState* state : states)
    if (has_one(state)) least = least.defined() ? at::minimum(least, state->global_scale) : state->global_scale;
  for (RoundingState* state : states)
    if (has_one(state)) state->global_scale = least;
}

bool can_have_momentum(const WeightFormat& format) { return !is_float(format.number) && !format.has_super_groups(); }

void add_momentum(RoundingState& state, double momentum) {
  if (!can_have_momentum(state.format))
    fail(Code::unsupported, "momentum",
         "Only steps of integer weights without super groups can have momentum; set it to 0.");
  state.momentum = momentum;
  state.value_velocity = zeros_like_weight(state.weight, at::kFloat);
  state.min_velocity = at::zeros_like(state.min_scale);
  state.max_velocity = at::zeros_like(state.max_scale);
}

device::Values values_of(const RoundingState& state) {
  device::Values values;
  if (!state.value.defined()) return values;
  if (state.value.scalar_type() == at::kShort) {
    values.ticks = state.value.data_ptr<std::int16_t>();
    values.tick = state.tick;
  } else {
    values.numbers = state.value.data_ptr<float>();
  }
  return values;
}

}  // namespace autoround::quant
