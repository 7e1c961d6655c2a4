#include "quant/super_rounding.hpp"

#include <ATen/ATen.h>

#include <vector>

#include "model/mapped_memory.hpp"
#include "quant/matrix_rows.hpp"

namespace autoround::quant::supers {
namespace {

/// A weight as the kernels see it.
class Rows {
 public:
  explicit Rows(const RoundingState& state)
      : state_(state),
        groups_(state.super.scale.size(1)),
        zeros_(static_cast<std::size_t>(groups_),
               state.format.symmetric ? static_cast<float>(state.format.levels() / 2) : 0.f) {}

  Row row(std::int64_t index) const {
    Row row;
    row.element = element_of(state_.weight);
    row.columns = state_.weight.size(1);
    row.group = state_.format.group;
    row.levels = static_cast<float>(state_.format.levels());
    row.weight = row_of(state_.weight, index);
    row.value = values_of(state_).from(index * row.columns);
    row.scale = state_.super.scale.const_data_ptr<float>() + index * groups_;
    row.zero = zeros_.data();
    row.minimum = state_.super.minimum.const_data_ptr<float>() + index * groups_;
    return row;
  }

 private:
  const RoundingState& state_;
  std::int64_t groups_;
  std::vector<float> zeros_;
};

class Step final : public RowStep {
 public:
  Step(RoundingState& state, StepRates rates, bool is_best, const Kernels& kernels)
      : state_(state), rows_(state), rate_(rates.value), is_best_(is_best), kernels_(kernels) {
    if (is_best && !state.best_codes.defined())
      state.best_codes = model::mapped_tensor(state.weight.sizes(), at::kByte);
  }

  void rows(std::int64_t first, const at::Tensor& gradient) override {
    const std::int64_t columns = gradient.size(1);
    for_each_row(first, first + gradient.size(0), columns, [&](std::int64_t row) {
      std::uint8_t* const codes = is_best_ ? state_.best_codes.data_ptr<std::uint8_t>() + row * columns : nullptr;
      kernels_.update(rows_.row(row), row_of(gradient, row - first), rate_, codes, {});
    });
  }
  void finish() override {}

 private:
  RoundingState& state_;
  Rows rows_;
  float rate_;
  bool is_best_;
  const Kernels& kernels_;
};

}  // namespace

void forward(const RoundingState& state, const at::Tensor& out, const Kernels& kernels) {
  const Rows rows(state);
  for_each_row(0, out.size(0), out.size(1),
               [&](std::int64_t row) { kernels.forward(rows.row(row), row_of(out, row), /*round_to_bf16=*/false); });
}

std::unique_ptr<RowStep> step(RoundingState& state, StepRates rates, bool is_best, const Kernels& kernels) {
  return std::make_unique<Step>(state, rates, is_best, kernels);
}

QuantizedWeight quantize(const RoundingState& state, const Kernels& kernels) {
  const Rows rows(state);
  QuantizedWeight result;
  result.format = state.format;
  result.codes = model::mapped_tensor(state.weight.sizes(), at::kByte);
  result.scales = state.super.scales;
  result.super = state.super.parts;
  for_each_row(0, result.codes.size(0), result.codes.size(1), [&](std::int64_t row) {
    kernels.encode(rows.row(row), static_cast<std::uint8_t*>(row_of(result.codes, row)));
  });
  return result;
}

}  // namespace autoround::quant::supers
