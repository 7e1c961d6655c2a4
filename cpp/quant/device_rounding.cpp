#include "quant/device_rounding.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <gsl/assert>
#include <utility>
#include <vector>

#include "device/device.hpp"

namespace autoround::quant::on_device {
namespace {

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

std::int64_t scales_of(const RoundingState& state) {
  const WeightFormat& format = state.format;
  if (is_float(format.number)) return state.weight_max.numel();
  return (format.group == 0 ? 1 : state.weight.size(0)) * format.groups_per_row(state.weight.size(1));
}

/// fp32 memory of a device for as long as a call is queued, dealt out in pieces.
class Scratch {
 public:
  Scratch(std::int64_t elements, const at::Tensor& like)
      : memory_(at::empty({elements}, like.options().dtype(at::kFloat))), next_(memory_.data_ptr<float>()) {}
  float* take(std::int64_t elements) { return std::exchange(next_, next_ + elements); }

 private:
  at::Tensor memory_;
  float* next_;
};
/// Of the weight's scales: two numbers each.
std::int64_t scratch_of(const RoundingState& state) { return 2 * scales_of(state); }

device::IntegerWeight integers(const RoundingState& state, Scratch& scratch) {
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
  w.scale_type = device::scale_type_of(state.scale_type);
  w.levels = static_cast<float>(format.levels());
  w.threshold = format.smallest_scale();
  w.weight = state.weight.const_data_ptr();
  w.value = values_of(state);
  w.searched = read(state.searched_scale);
  w.weight_min = read(state.weight_min);
  w.weight_max = read(state.weight_max);
  w.min_scale = write(state.min_scale);
  w.max_scale = write(state.max_scale);
  w.super_scale = read(state.super.scale);
  w.super_minimum = read(state.super.minimum);
  w.scale = scratch.take(scales_of(state));
  w.zero = scratch.take(scales_of(state));
  return w;
}

device::FloatWeight floats(const RoundingState& state, Scratch& scratch) {
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
  w.scale_type = device::scale_type_of(format.scale_type);
  w.threshold = format.number == Number::fp8 ? format.smallest_scale() : 0.f;
  w.largest_factor = static_cast<float>(state.largest_factor());
  w.weight = state.weight.const_data_ptr();
  w.value = values_of(state);
  w.searched = read(state.searched_scale);
  w.weight_max = read(state.weight_max);
  w.max_scale = write(state.max_scale);
  w.global_scale = read(state.global_scale);
  w.divisor = scratch.take(scales_of(state));
  w.scale = scratch.take(scales_of(state));
  return w;
}

const device::Kernels& kernels_of(const RoundingState& state) { return device::kernels(state.weight.device()); }

/// Memory for codes, two a byte when `packed`, and scales; in super groups scales stay what they are.
QuantizedWeight empty_weight(const RoundingState& state, bool packed) {
  const WeightFormat& format = state.format;
  const auto empty = [&](at::IntArrayRef shape, at::ScalarType type) {
    return at::empty(shape, state.weight.options().dtype(type));
  };
  QuantizedWeight result;
  result.format = format;
  result.codes = empty({state.weight.size(0), state.weight.size(1) / (packed ? 2 : 1)}, at::kByte);
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

bool tunes_scales(const RoundingState& state) { return state.tune_minmax && !state.format.has_super_groups(); }

/// Elements of StepPlan::sums.
std::int64_t sums_of(const RoundingState& state) {
  if (!tunes_scales(state)) return 0;
  const std::int64_t kinds = is_float(state.format.number) ? 1 : state.format.symmetric ? 2 : 4;
  return kinds * state.weight.size(0) * state.format.groups_per_row(state.weight.size(1));
}

/// Gives the state memory for its best codes when it will need it: of few bits two a byte where kernels can.
device::StepPlan plan_of(const QdqUpdate& update, bool is_best, bool packs, Scratch& scratch) {
  RoundingState& state = *update.state;
  device::StepPlan plan;
  plan.value_rate = update.rates.value;
  plan.minmax_rate = update.rates.minmax;
  plan.is_best = is_best;
  plan.recorded = state.recorded;
  plan.tune_scales = tunes_scales(state);
  plan.gradient = update.gradient.const_data_ptr();
  if ((is_best || state.recorded.progress) && !state.best_codes.defined()) {
    const QuantizedWeight memory = empty_weight(state, packs);
    state.best_codes = memory.codes;
    state.best_scales = memory.scales;
    state.best_zero_points = memory.zero_points;
  }
  if (state.best_codes.defined()) {
    plan.codes = bytes(state.best_codes);
    plan.packed = state.best_codes.size(1) != state.weight.size(1);
    plan.scales = scales_memory(state, state.best_scales);
    plan.zeros = bytes(state.best_zero_points);
  }
  if (plan.tune_scales) plan.sums = scratch.take(sums_of(state));
  return plan;
}

class Step final : public RowStep {
 public:
  Step(RoundingState& state, StepRates rates, bool is_best) : state_(state), rates_(rates), is_best_(is_best) {}
  void rows(std::int64_t first, const at::Tensor& gradient) override {
    Expects(first == 0);
    const QdqUpdate lone{&state_, gradient, rates_};
    on_device::step({&lone, 1}, is_best_);
  }
  void finish() override {}

 private:
  RoundingState& state_;
  StepRates rates_;
  bool is_best_;
};

}  // namespace

void forward(gsl::span<const QdqForward> weights) {
  if (weights.empty()) return;
  std::int64_t elements = 0;
  for (const auto& [state, out] : weights) elements += scratch_of(*state);
  const RoundingState& first = *weights.front().state;
  Scratch scratch(elements, first.weight);
  std::vector<device::Forward<device::IntegerWeight>> of_integers;
  std::vector<device::Forward<device::FloatWeight>> of_floats;
  for (const auto& [state, out] : weights) {
    Expects(state->weight.is_contiguous() && out.is_contiguous() && state->weight.device() == first.weight.device());
    void* const memory = out.mutable_data_ptr();
    is_float(state->format.number) ? of_floats.push_back({floats(*state, scratch), memory})
                                   : of_integers.push_back({integers(*state, scratch), memory});
  }
  kernels_of(first).forward(of_integers);
  kernels_of(first).forward(of_floats);
}

void step(gsl::span<const QdqUpdate> weights, bool is_best) {
  if (weights.empty()) return;
  std::int64_t elements = 0;
  for (const QdqUpdate& update : weights) elements += scratch_of(*update.state) + sums_of(*update.state);
  const RoundingState& first = *weights.front().state;
  Scratch scratch(elements, first.weight);
  std::vector<device::Update<device::IntegerWeight>> of_integers;
  std::vector<device::Update<device::FloatWeight>> of_floats;
  for (const QdqUpdate& update : weights) {
    const RoundingState& state = *update.state;
    Expects(update.gradient.sizes() == state.weight.sizes() && update.gradient.is_contiguous() &&
            state.weight.device() == first.weight.device());
    const auto add = [&](auto& updates, const auto& weight, int bits) {
      const bool packs = bits <= 4 && device::has_tiles(weight);
      updates.push_back({weight, plan_of(update, is_best, packs, scratch)});
    };
    if (is_float(state.format.number)) {
      const device::FloatWeight weight = floats(state, scratch);
      add(of_floats, weight, weight.grid.bits);
    } else {
      add(of_integers, integers(state, scratch), state.format.bits);
    }
  }
  kernels_of(first).step(of_integers);
  kernels_of(first).step(of_floats);
}

std::unique_ptr<RowStep> step(RoundingState& state, StepRates rates, bool is_best) {
  return std::make_unique<Step>(state, rates, is_best);
}

QuantizedWeight quantize(const RoundingState& state) {
  Expects(state.weight.is_contiguous());
  QuantizedWeight result = empty_weight(state, /*packed=*/false);
  void* const scales = scales_memory(state, result.scales);
  Scratch scratch(scratch_of(state), state.weight);
  is_float(state.format.number)
      ? kernels_of(state).encode(floats(state, scratch), bytes(result.codes), scales)
      : kernels_of(state).encode(integers(state, scratch), bytes(result.codes), scales, bytes(result.zero_points));
  return result;
}

at::Tensor unpacked(const at::Tensor& codes) {
  return at::stack({codes.bitwise_and(0xf), codes.bitwise_right_shift(4)}, -1).flatten(1);
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
