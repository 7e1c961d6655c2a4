#include "quant/plain_rounding.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <gsl/assert>

#include "model/mapped_memory.hpp"

namespace autoround::quant::plain {
namespace {

at::Tensor round_to(const at::Tensor& value, at::ScalarType dtype) { return value.to(dtype).to(at::kFloat); }

struct Scales {
  at::Tensor scale;  // fp32 [out, G], values of RoundingState::scale_type
  at::Tensor zero;   // fp32 [out, G], integers
};

struct GroupRange {
  // Asymmetric: the range; symmetric: magnitudes of its negative and its positive side; searched: undefined.
  at::Tensor low, high;
  at::Tensor raw;  // scale before the threshold
};

GroupRange group_range(const RoundingState& state) {
  const WeightFormat& format = state.format;
  if (state.searched_scale.defined())
    return {{}, {}, round_to(state.searched_scale * state.max_scale, state.scale_type)};
  const at::Tensor low = state.weight_min * state.min_scale, high = state.weight_max * state.max_scale;
  if (!format.symmetric) return {low, high, round_to((high - low) / (format.levels() - 1), state.scale_type)};
  const at::Tensor negative = -low;
  const at::Tensor extreme = at::where(high < negative, negative, -high);
  return {negative, high, round_to(extreme / (format.levels() / 2), state.scale_type)};
}

/// Clamps min_scale and max_scale in place.
Scales scales(const RoundingState& state) {
  const WeightFormat& format = state.format;
  state.min_scale.clamp_(0, state.largest_factor());
  state.max_scale.clamp_(0, state.largest_factor());
  const GroupRange range = group_range(state);
  const float least = format.smallest_scale();
  at::Tensor scale = range.raw.clamp_min(least);
  if (format.symmetric) {
    scale = at::where(range.raw < 0, range.raw.clamp_max(-least), scale);
    return {scale, at::full_like(scale, static_cast<double>(format.levels() / 2))};
  }
  return {scale, (-range.low / scale).round().clamp(0, format.levels() - 1)};
}

/// [out, in] -> [out, G, columns per group], a short last group filled with zeros. Tensor strategy: [1, 1, out * in].
at::Tensor grouped(const WeightFormat& format, const at::Tensor& matrix) {
  if (format.group == 0) return matrix.reshape({1, 1, -1});
  const std::int64_t in_features = matrix.size(1), columns = format.columns_per_group(in_features);
  const std::int64_t groups = format.groups_per_row(in_features), missing = groups * columns - in_features;
  const at::Tensor whole = missing ? at::constant_pad_nd(matrix, {0, missing}) : matrix;
  return whole.reshape({matrix.size(0), groups, columns});
}

at::Tensor ungrouped(const at::Tensor& groups, const at::Tensor& like) {
  if (groups.size(0) != like.size(0)) return groups.reshape(like.sizes());
  return groups.reshape({like.size(0), -1}).narrow(1, 0, like.size(1));
}

/// All that a pass over the weight needs, in groups.
struct Groups {
  at::Tensor scale, low, high;  // [out, G, 1]: code range around the zero point
  at::Tensor quotient, rounded,
      centred;  // [out, G, columns]: w / s, the integer nearest to w / s + V, the centred code
};

Groups groups_of(const RoundingState& state, const Scales& scales) {
  Expects(!state.value.defined() || state.value.scalar_type() == at::kFloat);
  Groups result;
  result.scale = scales.scale.unsqueeze(-1);
  result.low = 0 - scales.zero.unsqueeze(-1);  // +0 where the zero point is the first code
  result.high = result.low + (state.format.levels() - 1);
  result.quotient = grouped(state.format, state.weight).to(at::kFloat) / result.scale;
  const at::Tensor moved =
      state.value.defined() ? result.quotient + grouped(state.format, state.value) : result.quotient;
  result.rounded = moved.round() + 0.;  // no -0: the product with a negative scale would show it
  result.centred = at::maximum(at::minimum(result.rounded, result.high), result.low);
  return result;
}

/// What the signed step follows: the gradient, or with momentum the decaying sum of all so far.
at::Tensor direction(const RoundingState& state, const at::Tensor& velocity, const at::Tensor& gradient) {
  return state.momentum == 0.0 ? gradient : velocity.mul_(state.momentum).add_(gradient);
}

/// The chain from a scale's gradient to min_scale and max_scale, as autograd walks it. docs/algorithm.md.
void step_scales(const RoundingState& state, const Groups& groups, const at::Tensor& gradient,
                 const at::Tensor& of_value, float rate) {
  const WeightFormat& format = state.format;
  const auto partial = [&](const at::Tensor& value) {
    return state.scale_type == at::kHalf ? round_to(value, at::kHalf) : value;
  };
  const GroupRange range = group_range(state);
  const at::Tensor scale = groups.scale.squeeze(-1), none = at::zeros_like(scale);
  const at::Tensor product = (gradient * groups.centred).sum(-1);
  const at::Tensor quotient = (-of_value * (groups.quotient / groups.scale)).sum(-1);
  at::Tensor of_scale = partial(partial(product) + partial(quotient));
  at::Tensor of_min, of_max;
  if (format.symmetric) {
    const at::Tensor kept =
        at::where(range.raw < 0, range.raw <= -format.smallest_scale(), range.raw >= format.smallest_scale());
    const at::Tensor passed = at::where(kept, of_scale, none);
    if (state.searched_scale.defined()) {
      state.max_scale.sub_(direction(state, state.max_velocity, passed * state.searched_scale).sign(), rate);
      return;
    }
    const at::Tensor whole = passed / (format.levels() / 2);
    const at::Tensor toward = at::where(range.high < range.low, whole, -whole);
    const at::Tensor share = at::where(range.high == range.low, toward / 2, toward);
    of_max = at::where(range.high < range.low, none, share);
    of_min = at::where(range.low < range.high, none, -share);
  } else {
    const at::Tensor of_zero = of_value.sum(-1) - (gradient * groups.scale).sum(-1);
    of_scale = partial(of_scale + partial(-of_zero * ((-range.low / scale) / scale)));
    of_max = at::where(range.raw >= format.smallest_scale(), of_scale, none) / (format.levels() - 1);
    of_min = -of_max - of_zero / scale;
  }
  state.min_scale.sub_(direction(state, state.min_velocity, of_min * state.weight_min).sign(), rate);
  state.max_scale.sub_(direction(state, state.max_velocity, of_max * state.weight_max).sign(), rate);
}

/// Weights that are handled at once on a CPU: the operations hold some ten tensors of fp32 like them. A device is not
/// worth the launches.
constexpr std::int64_t weights_at_once = std::int64_t{1} << 18;

/// Rows of a state, in the memory of all.
RoundingState narrowed(const RoundingState& state, std::int64_t first, std::int64_t count) {
  RoundingState rows = state;
  for (at::Tensor* x : {&rows.weight, &rows.value, &rows.min_scale, &rows.max_scale, &rows.weight_min, &rows.weight_max,
                        &rows.searched_scale, &rows.value_velocity, &rows.min_velocity, &rows.max_velocity}) {
    if (x->defined()) *x = x->narrow(0, first, count);
  }
  return rows;
}

/// Calls body(rows, first) for some rows after the other; for all at once where they share a scale.
template <class Body>
void for_rows(const RoundingState& state, const Body& body) {
  if (state.format.group == 0 || !state.weight.is_cpu()) return body(state, 0);
  const std::int64_t out = state.weight.size(0), in = state.weight.size(1);
  const std::int64_t step = std::max<std::int64_t>(weights_at_once / in, 1);
  for (std::int64_t first = 0; first < out; first += step)
    body(narrowed(state, first, std::min(step, out - first)), first);
}

void forward_rows(const RoundingState& state, const at::Tensor& out) {
  const Groups groups = groups_of(state, scales(state));
  at::Tensor result = groups.centred * groups.scale;
  if (state.format.scale_type == at::kBFloat16) result = round_to(result, at::kBFloat16);
  out.copy_(ungrouped(result, out));
}

void update_rows(const RoundingState& state, const at::Tensor& gradient, StepRates rates) {
  const Groups groups = groups_of(state, scales(state));
  const at::Tensor of_weight = grouped(state.format, gradient).to(at::kFloat);
  const at::Tensor of_code = of_weight * groups.scale;
  const at::Tensor of_value = at::where(groups.rounded == groups.centred, of_code, at::zeros_like(of_code));
  state.value.sub_(direction(state, state.value_velocity, ungrouped(of_value, gradient)).sign(), rates.value);
  if (state.tune_minmax) step_scales(state, groups, of_weight, of_value, rates.minmax);
}

}  // namespace

void forward(const RoundingState& state, const at::Tensor& out) {
  for_rows(state, [&](const RoundingState& rows, std::int64_t first) {
    forward_rows(rows, out.narrow(0, first, rows.weight.size(0)));
  });
}

void update(const RoundingState& state, const at::Tensor& gradient, StepRates rates) {
  for_rows(state, [&](const RoundingState& rows, std::int64_t first) {
    update_rows(rows, gradient.narrow(0, first, rows.weight.size(0)), rates);
  });
}

QuantizedWeight quantize(const RoundingState& state) {
  const WeightFormat& format = state.format;
  const auto shape = format.scales_shape(state.weight.size(0), state.weight.size(1));
  const Scales current = scales(state);
  QuantizedWeight result;
  result.format = format;
  result.codes = model::lasting_tensor(state.weight.sizes(), at::kByte, state.weight.device());
  for_rows(state, [&](const RoundingState& rows, std::int64_t first) {
    const Groups groups = groups_of(rows, scales(rows));
    result.codes.narrow(0, first, rows.weight.size(0)).copy_(ungrouped(groups.centred - groups.low, rows.weight));
  });
  result.scales = current.scale.to(format.scale_type).reshape(shape);
  if (!format.symmetric) result.zero_points = current.zero.to(at::kByte).reshape(shape);
  return result;
}

void keep_best(RoundingState& state) {
  const QuantizedWeight current = quantize(state);
  state.best_codes = current.codes;
  state.best_scales = current.scales;
  state.best_zero_points = current.zero_points;
}

namespace {

class Step final : public RowStep {
 public:
  Step(RoundingState& state, StepRates rates, bool is_best) : state_(state), rates_(rates) {
    if (is_best) plain::keep_best(state);
  }
  void rows(std::int64_t, const at::Tensor& gradient) override { update(state_, gradient, rates_); }
  void finish() override {}

 private:
  RoundingState& state_;
  StepRates rates_;
};

}  // namespace

std::unique_ptr<RowStep> step(RoundingState& state, StepRates rates, bool is_best) {
  return std::make_unique<Step>(state, rates, is_best);
}

}  // namespace autoround::quant::plain
