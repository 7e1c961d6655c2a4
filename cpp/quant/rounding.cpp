#include "quant/rounding.hpp"

#include "base/error.hpp"
#include "quant/device_rounding.hpp"
#include "quant/float_rounding.hpp"
#include "quant/fused_rounding.hpp"
#include "quant/plain_rounding.hpp"
#include "quant/super_rounding.hpp"

namespace autoround::quant {
namespace {

void check_like_weight(const RoundingState& state, const at::Tensor& tensor, const char* what) {
  if (tensor.sizes() != state.weight.sizes() || tensor.scalar_type() != state.weight.scalar_type() ||
      tensor.stride(1) != 1) {
    fail(Code::internal, what, "This tensor must have the shape and dtype of the weight, and contiguous columns.");
  }
}

void check_rows_like_weight(const RoundingState& state, std::int64_t first, const at::Tensor& gradient) {
  if (first < 0 || first + gradient.size(0) > state.weight.size(0) || gradient.size(1) != state.weight.size(1) ||
      gradient.scalar_type() != state.weight.scalar_type() || gradient.stride(1) != 1) {
    fail(Code::internal, "gradient",
         "These rows must lie in the weight and have its width, dtype and contiguous columns.");
  }
}

/// Codes and scales at the current parameters.
QuantizedWeight current_weight(const RoundingState& state) {
  if (!state.weight.is_cpu()) return on_device::quantize(state);
  if (is_float(state.format.number)) return floats::quantize(state, kernels());
  if (state.format.has_super_groups()) return supers::quantize(state, kernels());
  return fused::quantize(state, kernels());
}

/// Codes with the scales as they are written; on a device they are kept as they were used.
QuantizedWeight as_stored(QuantizedWeight weight) {
  const WeightFormat& format = weight.format;
  if (!is_float(format.number) && !format.has_super_groups()) weight.scales = weight.scales.to(format.scale_type);
  return weight;
}

/// On a device plain operations can take over for integers only, as here.
bool uses_device(const RoundingState& state, bool fused) {
  return !state.weight.is_cpu() && (fused || !can_have_momentum(state.format));
}

/// The device's kernels keep no momentum.
bool uses_device_step(const RoundingState& state, bool fused) {
  return uses_device(state, fused && state.momentum == 0.0);
}

void check_trainable(const RoundingState& state) {
  if (!state.value.defined())
    fail(Code::internal, "gradient", "This state was made for rounding to nearest and has no V to step.");
}

/// Floating-point numbers and super groups have one implementation; without `fused` it is the one for any processor.
const Kernels& lone_kernels(bool fused) { return fused ? kernels() : *find_kernels("portable"); }

}  // namespace

void qdq_forward(gsl::span<const QdqForward> weights, bool fused) {
  std::vector<QdqForward> of_device;
  for (const QdqForward& weight : weights) {
    const RoundingState& state = *weight.state;
    check_like_weight(state, weight.out, "out");
    if (uses_device(state, fused)) {
      of_device.push_back(weight);
    } else if (is_float(state.format.number)) {
      floats::forward(state, weight.out, lone_kernels(fused));
    } else if (state.format.has_super_groups()) {
      supers::forward(state, weight.out, lone_kernels(fused));
    } else {
      fused ? fused::forward(state, weight.out, kernels()) : plain::forward(state, weight.out);
    }
  }
  on_device::forward(of_device);
}

void qdq_forward(const RoundingState& state, const at::Tensor& out, bool fused) {
  const QdqForward lone{&state, out};
  qdq_forward({&lone, 1}, fused);
}

SignedStep::SignedStep(RoundingState& state, StepRates rates, bool is_best, bool fused) : state_(&state) {
  check_trainable(state);
  if (uses_device_step(state, fused)) {
    step_ = on_device::step(state, rates, is_best);
  } else if (is_float(state.format.number)) {
    step_ = std::make_unique<floats::Step>(state, rates, is_best, lone_kernels(fused));
  } else if (state.format.has_super_groups()) {
    step_ = supers::step(state, rates, is_best, lone_kernels(fused));
  } else if (fused && state.momentum == 0.0) {
    step_ = std::make_unique<fused::Step>(state, rates, is_best, kernels());
  } else {
    step_ = plain::step(state, rates, is_best);
  }
}

void SignedStep::rows(std::int64_t first, const at::Tensor& gradient) {
  check_rows_like_weight(*state_, first, gradient);
  step_->rows(first, gradient);
}

void SignedStep::finish() { step_->finish(); }

void qdq_update(RoundingState& state, const at::Tensor& gradient, StepRates rates, bool is_best, bool fused) {
  check_like_weight(state, gradient, "gradient");
  SignedStep step(state, rates, is_best, fused);
  step.rows(0, gradient);
  step.finish();
}

void qdq_update(gsl::span<const QdqUpdate> weights, bool is_best, bool fused) {
  std::vector<QdqUpdate> of_device;
  for (const QdqUpdate& weight : weights) {
    if (uses_device_step(*weight.state, fused)) {
      check_trainable(*weight.state);
      check_like_weight(*weight.state, weight.gradient, "gradient");
      of_device.push_back(weight);
    } else {
      qdq_update(*weight.state, weight.gradient, weight.rates, is_best, fused);
    }
  }
  on_device::step(of_device, is_best);
}

QuantizedWeight quantize(const RoundingState& state, const std::string& name) {
  QuantizedWeight weight = as_stored(current_weight(state));
  weight.name = name;
  return weight;
}

void keep_best(RoundingState& state) {
  const QuantizedWeight current = current_weight(state);
  state.best_codes = current.codes;
  state.best_scales = current.scales;
  state.best_zero_points = current.zero_points;
}

QuantizedWeight best(const RoundingState& state, const std::string& name) {
  if (!state.best_codes.defined()) fail(Code::invalid_state, name, "No iteration of this layer has been the best yet.");
  const bool packed = state.best_codes.size(1) != state.weight.size(1);
  QuantizedWeight weight{name,
                         state.format,
                         packed ? on_device::unpacked(state.best_codes) : state.best_codes,
                         state.best_scales,
                         state.best_zero_points,
                         state.global_scale};
  if (!state.format.has_super_groups()) return as_stored(std::move(weight));
  weight.scales = state.super.scales;
  weight.super = state.super.parts;
  return weight;
}

const char* kernel_name() { return kernels().name; }

}  // namespace autoround::quant
