#include "quant/float_rounding.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "model/guided_for.hpp"
#include "model/mapped_memory.hpp"
#include "quant/matrix_rows.hpp"

namespace autoround::quant::floats {

FloatScaleRule scale_rule(const WeightFormat& format, float global) {
  return {format.number, grid_of(format.number), scale_type_of(format.scale_type),
          format.number == Number::fp8 ? format.smallest_scale() : 0.f, global};
}

namespace {

/// The scales of a weight at the current parameters, and which of them a row uses.
class Scales {
 public:
  Scales(const RoundingState& state, const Kernels& kernels)
      : state_(state),
        kernels_(kernels),
        groups_(state.weight_max.size(1)),
        count_(state.weight_max.numel()),
        weight_max_(state.weight_max.const_data_ptr<float>()),
        factor_(state.max_scale.data_ptr<float>()),
        memory_(model::mapped_tensor({3, count_}, at::kFloat)),
        magnitude_(memory_.data_ptr<float>()),
        divisor_(magnitude_ + count_),
        scale_(divisor_ + count_),
        is_free_(static_cast<std::size_t>(count_)) {
    const float* const searched =
        state.searched_scale.defined() ? state.searched_scale.const_data_ptr<float>() : nullptr;
    const auto largest_factor = static_cast<float>(state.largest_factor());
    for_each_range([&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        factor_[i] = std::clamp(factor_[i], 0.f, largest_factor);
        magnitude_[i] = weight_max_[i] * (factor_[i] * (searched ? searched[i] : 1.f));
      }
      find(begin, end, {divisor_ + begin, scale_ + begin, nullptr, is_free_.data() + begin});
    });
  }

  /// Runs body(begin, end) over ranges of all scales in parallel.
  template <class Body>
  void for_each_range(const Body& body) const {
    model::guided_for(count_, 4096, body);
  }

  /// Whether a step of its factor changes the scale.
  bool reaches(std::int64_t index) const {
    return is_free_[static_cast<std::size_t>(index)] != 0 && weight_max_[index] != 0.f;
  }
  float& factor(std::int64_t index) const { return factor_[index]; }
  std::int64_t groups() const { return groups_; }
  /// Rows that share their scales.
  std::int64_t rows_at_once() const {
    if (state_.format.group == 0) return state_.weight.size(0);
    return state_.format.block_rows > 0 ? state_.format.block_rows : 1;
  }

  FloatRow row(std::int64_t index) const {
    const std::int64_t first = index / rows_at_once() * groups_;
    const Number number = state_.format.number;
    FloatRow row;
    row.element = element_of(state_.weight);
    row.grid = grid_of(number);
    row.columns = state_.weight.size(1);
    row.group = state_.format.columns_per_group(row.columns);
    row.weight = row_of(state_.weight, index);
    row.value = values_of(state_).from(index * row.columns);
    row.divisor = divisor_ + first;
    row.scale = scale_ + first;
    row.multiplies = number != Number::fp8;
    row.follows_exponent = has_power_scales(number);
    row.stops_at_zero = number != Number::fp8;
    return row;
  }

  at::Tensor stored() const {
    const auto shape = state_.format.scales_shape(state_.weight.size(0), state_.weight.size(1));
    at::Tensor values = at::empty(shape, at::kFloat);
    float* const to = values.data_ptr<float>();
    for_each_range(
        [&](std::int64_t begin, std::int64_t end) { find(begin, end, {nullptr, nullptr, to + begin, nullptr}); });
    if (!has_power_scales(state_.format.number)) return values.to(state_.format.scale_type);
    return values.log2().add_(127).to(at::kByte);  // exact: powers of two
  }

 private:
  void find(std::int64_t begin, std::int64_t end, const FloatScales& scales) const {
    const WeightFormat& format = state_.format;
    const float global = state_.global_scale.defined() ? *state_.global_scale.const_data_ptr<float>() : 1.f;
    kernels_.float_scales(scale_rule(format, global), magnitude_ + begin, end - begin, scales);
  }

  const RoundingState& state_;
  const Kernels& kernels_;
  std::int64_t groups_, count_;
  const float* weight_max_;
  float* factor_;
  at::Tensor memory_;  // of the next three
  float *magnitude_, *divisor_, *scale_;
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
  const Scales scales(state, kernels);
  const bool round_to_bf16 = computes_bf16(state.format);
  for_each_row(0, out.size(0), out.size(1),
               [&](std::int64_t row) { kernels.float_forward(scales.row(row), row_of(out, row), round_to_bf16); });
}

QuantizedWeight quantize(const RoundingState& state, const Kernels& kernels) {
  const Scales scales(state, kernels);
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
    : impl_(new Impl{state, rates, is_best, kernels, Scales(state, kernels), {}}) {
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
  scales.for_each_range([&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = i / groups * together, last = std::min(rows, first + together);
      float sum = 0.f;  // rows in order, whatever the number of threads was
      for (std::int64_t row = first; row < last; ++row)
        sum += step.of_scale[static_cast<std::size_t>(row * groups + i % groups)];
      if (scales.reaches(i) && sum != 0.f && !std::isnan(sum))
        scales.factor(i) -= std::copysign(step.rates.minmax, sum);
    }
  });
}

}  // namespace autoround::quant::floats
