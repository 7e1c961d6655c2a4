#include "quant/float_rounding.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "model/guided_for.hpp"
#include "model/mapped_memory.hpp"
#include "quant/matrix_rows.hpp"

namespace autoround::quant::floats {
namespace {

constexpr float kSixReciprocal = 1.f / 6.f;  // of the largest e2m1, as auto-round multiplies with it

float reciprocal(float value) { return value == 0.f ? 0.f : 1.f / value; }

float round_as(at::ScalarType type, float value) {
  if (type == at::kHalf) return at::Half(value);
  return type == at::kBFloat16 ? static_cast<float>(at::BFloat16(value)) : value;
}

Scale fp8_scale(const WeightFormat& format, float magnitude) {
  const float raw = magnitude / e4m3.largest, least = format.smallest_scale();
  const float scale = std::max(round_as(format.scale_type, raw), least);
  return {scale, scale, scale, raw >= least};
}

/// floor(std::log2(x)) of a positive number. Next to a power of two the logarithm may round to that of the power: there
/// it is taken.
float floor_log2(float x) {
  constexpr std::uint32_t mantissa_bits = 23, mantissa = (1u << mantissa_bits) - 1, near = 256;
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const bool between = (bits & mantissa) >= near && (bits & mantissa) <= mantissa - near;
  if (!between || !std::isnormal(x)) return std::floor(std::log2(x));
  return static_cast<float>(static_cast<int>(bits >> mantissa_bits) - 127);
}

/// The exponent of the largest magnitude less that of the largest number: source, OCP Microscaling 1.0, section 6.3.
Scale power_scale(const FloatGrid& grid, float magnitude) {
  constexpr float bound = 127.f;
  const float exponent = (magnitude == 0.f ? 1.f : floor_log2(magnitude)) - static_cast<float>(grid.largest_exponent);
  const float scale = decode_power(static_cast<std::uint8_t>(std::clamp(exponent, -bound, bound) + bound));
  return {1.f / scale, scale, scale, magnitude != 0.f && std::fabs(exponent) <= bound};  // exact
}

/// The nearest number of the grid, ties to even, to a magnitude of at most the largest.
float round_to_grid(const FloatGrid& grid, float magnitude) {
  const float power = std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) & 0x7f800000u);
  // A number this much larger than the step of the grid around `magnitude` has that step as its own.
  const float magic = std::max(power, grid.least_normal) * (0x1.8p23f / static_cast<float>(1 << grid.mantissa_bits));
  return (magnitude + magic) - magic;
}

/// Codes as auto-round finds them, by a reciprocal; the product as loaders compute it, by a quotient.
Scale nvfp4_scale(float global, float magnitude) {
  const float raw = global * (magnitude * kSixReciprocal);
  const float stored = round_to_grid(e4m3, std::min(raw, e4m3.largest));
  return {reciprocal(stored * reciprocal(global)), stored / global, stored, raw <= e4m3.largest};
}

}  // namespace

Scale scale_of(const WeightFormat& format, float global, float magnitude) {
  switch (format.number) {
    case Number::fp8:
      return fp8_scale(format, magnitude);
    case Number::nvfp4:
      return nvfp4_scale(global, magnitude);
    default:
      return power_scale(grid_of(format.number), magnitude);
  }
}

namespace {

/// The scales of a weight at the current parameters, and which of them a row uses.
class Scales {
 public:
  explicit Scales(const RoundingState& state)
      : state_(state),
        groups_(state.weight_max.size(1)),
        count_(state.weight_max.numel()),
        global_(state.global_scale.defined() ? state.global_scale.item<float>() : 1.f) {
    state.max_scale.clamp_(0, state.largest_factor());
    divisor_.resize(static_cast<std::size_t>(count_));
    scale_.resize(static_cast<std::size_t>(count_));
    is_free_.resize(static_cast<std::size_t>(count_));
    for_each([&](std::int64_t index) {
      const auto i = static_cast<std::size_t>(index);
      const Scale scale = at(index);
      divisor_[i] = scale.divisor;
      scale_[i] = scale.scale;
      is_free_[i] = scale.free;
    });
  }

  /// Runs body(index) over all scales in parallel.
  template <class Body>
  void for_each(const Body& body) const {
    model::guided_for(count_, 4096, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) body(i);
    });
  }

  Scale at(std::int64_t index) const {
    const float searched = state_.searched_scale.defined() ? state_.searched_scale.const_data_ptr<float>()[index] : 1.f;
    const float magnitude = state_.weight_max.const_data_ptr<float>()[index] * (factor(index) * searched);
    return scale_of(state_.format, global_, magnitude);
  }
  float& factor(std::int64_t index) const { return state_.max_scale.data_ptr<float>()[index]; }
  bool is_free(std::int64_t index) const { return is_free_[static_cast<std::size_t>(index)] != 0; }
  std::int64_t groups() const { return groups_; }
  /// Rows that share their scales.
  std::int64_t rows_at_once() const {
    if (state_.format.group == 0) return state_.weight.size(0);
    return state_.format.block_rows > 0 ? state_.format.block_rows : 1;
  }

  FloatRow row(std::int64_t index) const {
    const auto first = static_cast<std::size_t>(index / rows_at_once() * groups_);
    const Number number = state_.format.number;
    FloatRow row;
    row.element = element_of(state_.weight);
    row.grid = grid_of(number);
    row.columns = state_.weight.size(1);
    row.group = state_.format.columns_per_group(row.columns);
    row.weight = row_of(state_.weight, index);
    row.value = values_of(state_).from(index * row.columns);
    row.divisor = divisor_.data() + first;
    row.scale = scale_.data() + first;
    row.multiplies = number != Number::fp8;
    row.follows_exponent = has_power_scales(number);
    row.stops_at_zero = number != Number::fp8;
    return row;
  }

  at::Tensor stored() const {
    const auto shape = state_.format.scales_shape(state_.weight.size(0), state_.weight.size(1));
    at::Tensor values = at::empty(shape, at::kFloat);
    float* const to = values.data_ptr<float>();
    for_each([&](std::int64_t i) { to[i] = at(i).stored; });
    if (!has_power_scales(state_.format.number)) return values.to(state_.format.scale_type);
    return values.log2().add_(127).to(at::kByte);  // exact: powers of two
  }

 private:
  const RoundingState& state_;
  std::int64_t groups_, count_;
  float global_;
  std::vector<float> divisor_, scale_;
  std::vector<std::uint8_t> is_free_;  // whether no bound holds it
};

}  // namespace

at::Tensor magnitudes(const WeightFormat& format, const at::Tensor& low, const at::Tensor& high) {
  at::Tensor result = at::maximum(-low, high);
  if (format.block_rows == 0) return result;
  const std::int64_t rows = result.size(0),
                     missing = (rows + format.block_rows - 1) / format.block_rows * format.block_rows - rows;
  if (missing) result = at::constant_pad_nd(result, {0, 0, 0, missing});
  return result.view({-1, format.block_rows, result.size(1)}).amax(1);
}

at::Tensor global_scale(const at::Tensor& magnitudes) {
  return at::full({1}, nvfp4_global_scale(magnitudes.max().item<float>()), magnitudes.options());
}

void forward(const RoundingState& state, const at::Tensor& out, const Kernels& kernels) {
  const Scales scales(state);
  const bool round_to_bf16 = computes_bf16(state.format);
  for_each_row(0, out.size(0), out.size(1),
               [&](std::int64_t row) { kernels.float_forward(scales.row(row), row_of(out, row), round_to_bf16); });
}

QuantizedWeight quantize(const RoundingState& state, const Kernels& kernels) {
  const Scales scales(state);
  QuantizedWeight result;
  result.format = state.format;
  result.codes = model::mapped_tensor(state.weight.sizes(), at::kByte);
  result.scales = scales.stored();
  result.global_scale = state.global_scale;
  for_each_row(0, result.codes.size(0), result.codes.size(1), [&](std::int64_t row) {
    kernels.float_encode(scales.row(row), static_cast<std::uint8_t*>(row_of(result.codes, row)));
  });
  return result;
}

struct Step::Impl {
  RoundingState& state;
  StepRates rates;
  bool is_best;
  const Kernels& kernels;
  Scales scales;
  std::vector<float> of_scale;  // one a row and group; empty unless scales are tuned
};

Step::Step(RoundingState& state, StepRates rates, bool is_best, const Kernels& kernels)
    : impl_(new Impl{state, rates, is_best, kernels, Scales(state), {}}) {
  const std::int64_t rows = state.weight.size(0);
  if (state.tune_minmax) impl_->of_scale.resize(static_cast<std::size_t>(rows * impl_->scales.groups()));
  if (!is_best) return;
  if (!state.best_codes.defined()) state.best_codes = model::mapped_tensor(state.weight.sizes(), at::kByte);
  state.best_scales = impl_->scales.stored();
}

Step::~Step() = default;

void Step::rows(std::int64_t first, const at::Tensor& gradient) {
  Impl& step = *impl_;
  const std::int64_t columns = gradient.size(1);
  for_each_row(first, first + gradient.size(0), columns, [&](std::int64_t row) {
    std::uint8_t* const codes = step.is_best ? step.state.best_codes.data_ptr<std::uint8_t>() + row * columns : nullptr;
    float* const of_scale = step.of_scale.empty() ? nullptr : step.of_scale.data() + row * step.scales.groups();
    step.kernels.float_update(step.scales.row(row), row_of(gradient, row - first), step.rates.value, codes, of_scale);
  });
}

void Step::finish() {
  Impl& step = *impl_;
  if (step.of_scale.empty()) return;
  const Scales& scales = step.scales;
  const std::int64_t rows = step.state.weight.size(0), groups = scales.groups(), together = scales.rows_at_once();
  const float* const weight_max = step.state.weight_max.const_data_ptr<float>();
  scales.for_each([&](std::int64_t i) {
    const std::int64_t first = i / groups * together, last = std::min(rows, first + together);
    float sum = 0.f;  // rows in order, whatever the number of threads was
    for (std::int64_t row = first; row < last; ++row)
      sum += step.of_scale[static_cast<std::size_t>(row * groups + i % groups)];
    const bool reaches = scales.is_free(i) && weight_max[i] != 0.f;
    if (reaches && sum != 0.f && !std::isnan(sum)) scales.factor(i) -= std::copysign(step.rates.minmax, sum);
  });
}

}  // namespace autoround::quant::floats
