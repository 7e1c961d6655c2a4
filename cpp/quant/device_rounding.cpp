#include "quant/device_rounding.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <gsl/assert>

#include "device/device.hpp"

namespace autoround::quant::on_device {
namespace {

device::ScaleType scale_type_of(at::ScalarType type) {
  if (type == at::kHalf) return device::ScaleType::f16;
  return type == at::kBFloat16 ? device::ScaleType::bf16 : device::ScaleType::f32;
}

device::Grid grid_of_device(Number number) {
  const FloatGrid& grid = grid_of(number);
  return {grid.bits, grid.mantissa_bits, grid.least_normal, grid.largest, grid.largest_exponent};
}

device::Scaling scaling_of(Number number) {
  if (number == Number::nvfp4) return device::Scaling::nvfp4;
  return has_power_scales(number) ? device::Scaling::power_of_two : device::Scaling::linear;
}

const float* read(const at::Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr; }
float* write(const at::Tensor& tensor) { return tensor.defined() ? tensor.data_ptr<float>() : nullptr; }

/// Two numbers a scale, for as long as a call is queued.
at::Tensor scratch_for(const RoundingState& state) {
  const WeightFormat& format = state.format;
  const std::int64_t rows = format.group == 0 ? 1 : state.weight.size(0);
  const std::int64_t scales =
      is_float(format.number) ? state.weight_max.numel() : rows * format.groups_per_row(state.weight.size(1));
  return at::empty({2, scales}, state.weight.options().dtype(at::kFloat));
}

device::IntegerWeight integers(const RoundingState& state, const at::Tensor& scratch) {
  const WeightFormat& format = state.format;
  device::IntegerWeight w;
  w.element = device::element_of(state.weight);
  w.rows = state.weight.size(0);
  w.columns = state.weight.size(1);
  w.group = format.columns_per_group(w.columns);
  w.groups = format.groups_per_row(w.columns);
  w.shared = format.group == 0;
  w.symmetric = format.symmetric;
  w.round_to_bf16 = !format.has_super_groups() && format.scale_type == at::kBFloat16;
  w.scale_type = scale_type_of(state.scale_type);
  w.levels = static_cast<float>(format.levels());
  w.threshold = format.smallest_scale();
  w.weight = state.weight.const_data_ptr();
  w.value = write(state.value);
  w.searched = read(state.searched_scale);
  w.weight_min = read(state.weight_min);
  w.weight_max = read(state.weight_max);
  w.min_scale = write(state.min_scale);
  w.max_scale = write(state.max_scale);
  w.super_scale = read(state.super.scale);
  w.super_minimum = read(state.super.minimum);
  w.scale = write(scratch[0]);
  w.zero = write(scratch[1]);
  return w;
}

device::FloatWeight floats(const RoundingState& state, const at::Tensor& scratch) {
  const WeightFormat& format = state.format;
  device::FloatWeight w;
  w.element = device::element_of(state.weight);
  w.grid = grid_of_device(format.number);
  w.scaling = scaling_of(format.number);
  w.rows = state.weight.size(0);
  w.columns = state.weight.size(1);
  w.group = format.columns_per_group(w.columns);
  w.groups = state.weight_max.size(1);
  w.rows_at_once = format.group == 0 ? w.rows : format.block_rows > 0 ? format.block_rows : 1;
  w.round_to_bf16 = computes_bf16(format);
  w.scale_type = scale_type_of(format.scale_type);
  w.threshold = format.number == Number::fp8 ? format.smallest_scale() : 0.f;
  w.largest_factor = static_cast<float>(state.largest_factor());
  w.weight = state.weight.const_data_ptr();
  w.value = write(state.value);
  w.searched = read(state.searched_scale);
  w.weight_max = read(state.weight_max);
  w.max_scale = write(state.max_scale);
  w.global_scale = read(state.global_scale);
  w.divisor = write(scratch[0]);
  w.scale = write(scratch[1]);
  return w;
}

const device::Kernels& kernels_of(const RoundingState& state) { return device::kernels(state.weight.device()); }

/// Memory for codes and scales; in super groups scales stay what they are.
QuantizedWeight empty_weight(const RoundingState& state) {
  const WeightFormat& format = state.format;
  const auto empty = [&](at::IntArrayRef shape, at::ScalarType type) {
    return at::empty(shape, state.weight.options().dtype(type));
  };
  QuantizedWeight result;
  result.format = format;
  result.codes = empty(state.weight.sizes(), at::kByte);
  result.global_scale = state.global_scale;
  if (format.has_super_groups()) {
    result.scales = state.super.scales;
    result.super = state.super.parts;
    return result;
  }
  const auto shape = format.scales_shape(state.weight.size(0), state.weight.size(1));
  result.scales = empty(shape, state.scale_type);
  if (!is_float(format.number) && !format.symmetric) result.zero_points = empty(shape, at::kByte);
  return result;
}

void* scales_memory(const RoundingState& state, const at::Tensor& scales) {
  return state.format.has_super_groups() ? nullptr : scales.mutable_data_ptr();
}
std::uint8_t* bytes(const at::Tensor& tensor) { return tensor.defined() ? tensor.data_ptr<std::uint8_t>() : nullptr; }

class Step final : public RowStep {
 public:
  Step(RoundingState& state, StepRates rates, bool is_best) : state_(state) {
    plan_.value_rate = rates.value;
    plan_.minmax_rate = rates.minmax;
    plan_.is_best = is_best;
    plan_.recorded = state.recorded;
    plan_.tune_scales = state.tune_minmax && !state.format.has_super_groups();
    if ((is_best || state.recorded.progress) && !state.best_codes.defined()) {
      const QuantizedWeight memory = empty_weight(state);
      state.best_codes = memory.codes;
      state.best_scales = memory.scales;
      state.best_zero_points = memory.zero_points;
    }
    if (state.best_codes.defined()) {
      plan_.codes = bytes(state.best_codes);
      plan_.scales = scales_memory(state, state.best_scales);
      plan_.zeros = bytes(state.best_zero_points);
    }
    if (!plan_.tune_scales) return;
    const std::int64_t sums = is_float(state.format.number) ? 1 : state.format.symmetric ? 2 : 4;
    sums_ = at::empty({sums, state.weight.size(0), state.format.groups_per_row(state.weight.size(1))},
                      state.weight.options().dtype(at::kFloat));
    plan_.sums = sums_.data_ptr<float>();
  }

  void rows(std::int64_t first, const at::Tensor& gradient) override {
    Expects(first == 0 && gradient.sizes() == state_.weight.sizes() && gradient.is_contiguous());
    plan_.gradient = gradient.const_data_ptr();
    const at::Tensor scratch = scratch_for(state_);
    is_float(state_.format.number) ? kernels_of(state_).step(floats(state_, scratch), plan_)
                                   : kernels_of(state_).step(integers(state_, scratch), plan_);
  }
  void finish() override {}

 private:
  RoundingState& state_;
  device::StepPlan plan_;
  at::Tensor sums_;
};

}  // namespace

void forward(const RoundingState& state, at::Tensor& out) {
  Expects(state.weight.is_contiguous() && out.is_contiguous());
  const at::Tensor scratch = scratch_for(state);
  is_float(state.format.number) ? kernels_of(state).forward(floats(state, scratch), out.mutable_data_ptr())
                                : kernels_of(state).forward(integers(state, scratch), out.mutable_data_ptr());
}

std::unique_ptr<RowStep> step(RoundingState& state, StepRates rates, bool is_best) {
  return std::make_unique<Step>(state, rates, is_best);
}

QuantizedWeight quantize(const RoundingState& state) {
  Expects(state.weight.is_contiguous());
  QuantizedWeight result = empty_weight(state);
  void* const scales = scales_memory(state, result.scales);
  const at::Tensor scratch = scratch_for(state);
  is_float(state.format.number)
      ? kernels_of(state).encode(floats(state, scratch), bytes(result.codes), scales)
      : kernels_of(state).encode(integers(state, scratch), bytes(result.codes), scales, bytes(result.zero_points));
  return result;
}

at::Tensor round_inputs(const InputFormat& format, const InputScales& scales, const at::Tensor& x) {
  at::Tensor out = at::empty_like(x);
  if (x.numel() == 0) return out;
  device::InputRounding a;
  a.element = device::element_of(x);
  a.integer = format.number == Number::integer;
  if (!a.integer) {
    a.grid = grid_of_device(format.number);
    a.scaling = scaling_of(format.number);
  }
  a.rows = x.size(0);
  a.columns = x.size(1);
  a.group = format.group > 0 && format.group < a.columns ? format.group : a.columns;
  a.levels = std::ldexp(1.f, format.bits);
  a.symmetric = format.symmetric;
  a.is_static = format.is_static;
  if (format.is_static) a.scale = scales.scale.item<float>();
  if (format.needs_global_scale()) a.global_scale = scales.global_scale.item<float>();
  at::Tensor range;
  if (!format.is_static && format.group == 0) {
    const auto [low, high] = at::aminmax(x);
    range = at::stack({low, high}).to(at::kFloat);
    a.range = range.const_data_ptr<float>();
  }
  a.x = x.const_data_ptr();
  a.out = out.mutable_data_ptr();
  device::kernels(x.device()).round_inputs(a);
  return out;
}

}  // namespace autoround::quant::on_device
