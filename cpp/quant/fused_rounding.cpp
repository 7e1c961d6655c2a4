#include "quant/fused_rounding.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "model/guided_for.hpp"
#include "model/mapped_memory.hpp"
#include "quant/matrix_rows.hpp"

namespace autoround::quant::fused {
namespace {

/// A weight as the kernels see it: rows, and the arrays of scales that go with each.
class Layout {
 public:
  explicit Layout(const RoundingState& state)
      : state_(state),
        rows_(state.weight.size(0)),
        columns_(state.weight.size(1)),
        shared_(state.format.group == 0),
        groups_(state.format.groups_per_row(columns_)) {
    rule_.symmetric = state.format.symmetric;
    rule_.levels = static_cast<float>(state.format.levels());
    rule_.threshold = state.format.smallest_scale();
    rule_.type = scale_type_of(state.scale_type);
  }

  const ScaleRule& rule() const { return rule_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t groups() const { return groups_; }
  bool shared() const { return shared_; }
  std::int64_t grain() const { return rows_per_task(columns_); }

  /// Of the groups of rows [row, end); of the whole tensor when `shared`.
  Ranges ranges(std::int64_t row, std::int64_t end) const {
    const std::int64_t first = shared_ ? 0 : row * groups_;
    return {shared_ ? 1 : (end - row) * groups_,
            state_.searched_scale.defined() ? state_.searched_scale.const_data_ptr<float>() + first : nullptr,
            state_.weight_min.const_data_ptr<float>() + first,
            state_.weight_max.const_data_ptr<float>() + first,
            state_.min_scale.data_ptr<float>() + first,
            state_.max_scale.data_ptr<float>() + first};
  }

  Row row(std::int64_t index, const float* scale, const float* zero) const {
    Row row;
    row.element = element_of(state_.weight);
    row.columns = columns_;
    row.group = state_.format.columns_per_group(columns_);
    row.levels = rule_.levels;
    row.weight = row_of(state_.weight, index);
    row.value = values_of(state_).from(index * columns_);
    row.scale = scale;
    row.zero = zero;
    return row;
  }
  std::uint8_t* best_codes(std::int64_t row) const {
    return state_.best_codes.data_ptr<std::uint8_t>() + row * columns_;
  }

 private:
  const RoundingState& state_;
  std::int64_t rows_, columns_;
  bool shared_;  // one scale for the whole tensor
  std::int64_t groups_;
  ScaleRule rule_;
};

/// The scale that all rows have in common, when they have.
struct SharedScale {
  SharedScale(const Layout& layout, const Kernels& kernels) {
    if (layout.shared()) kernels.scales(layout.rule(), layout.ranges(0, 1), &scale, &zero);
  }
  float scale = 0.f, zero = 0.f;
};

/// Some rows with the scales and zero points of their groups, row after row.
struct RowBlock {
  std::int64_t first, last;
  const float *scale, *zero;
};

/// Runs body(block, scratch) over rows [first, last) in parallel; scratch is memory of the task.
template <class Body>
void for_each_block(const Layout& layout, const Kernels& kernels, const SharedScale& shared, std::int64_t first,
                    std::int64_t last, const Body& body) {
  constexpr std::int64_t groups_at_once = 256;  // so that the scales of short rows fill registers too
  const std::int64_t groups = layout.groups(), rows = std::max<std::int64_t>(1, groups_at_once / groups);
  model::guided_for(last - first, layout.grain(), [&](std::int64_t begin, std::int64_t end) {
    const auto size = static_cast<std::size_t>(rows * groups);
    std::vector<float> scale(size, shared.scale), zero(size, shared.zero), scratch;
    for (std::int64_t row = first + begin; row < first + end; row += rows) {
      const RowBlock block{row, std::min(first + end, row + rows), scale.data(), zero.data()};
      if (!layout.shared())
        kernels.scales(layout.rule(), layout.ranges(block.first, block.last), scale.data(), zero.data());
      body(block, scratch);
    }
  });
}

/// Runs body(row, scale, zero) over all rows.
template <class Body>
void for_each_row(const Layout& layout, const Kernels& kernels, const Body& body) {
  for_each_block(layout, kernels, SharedScale(layout, kernels), 0, layout.rows(), [&](const RowBlock& block, auto&) {
    for (std::int64_t row = block.first; row < block.last; ++row) {
      const std::int64_t at = (row - block.first) * layout.groups();
      body(row, block.scale + at, block.zero + at);
    }
  });
}

/// Where the scales of a quantized weight are written, in the dtype they are stored in.
class StoredScales {
 public:
  StoredScales(const at::Tensor& scales, const at::Tensor& zeros, std::int64_t groups)
      : scales_(scales), zeros_(zeros), groups_(groups) {}

  void write(std::int64_t row, const float* scale, const float* zero) const {
    switch (scales_.scalar_type()) {
      case at::kHalf:
        copy(scale, scales_.data_ptr<at::Half>() + row * groups_);
        break;
      case at::kBFloat16:
        copy(scale, scales_.data_ptr<at::BFloat16>() + row * groups_);
        break;
      default:
        copy(scale, scales_.data_ptr<float>() + row * groups_);
        break;
    }
    if (zeros_.defined()) copy(zero, zeros_.data_ptr<std::uint8_t>() + row * groups_);
  }

 private:
  template <class T>
  void copy(const float* from, T* to) const {
    for (std::int64_t i = 0; i < groups_; ++i) to[i] = static_cast<T>(from[i]);
  }

  const at::Tensor& scales_;
  const at::Tensor& zeros_;
  std::int64_t groups_;
};

QuantizedWeight empty_weight(const RoundingState& state) {
  const auto shape = state.format.scales_shape(state.weight.size(0), state.weight.size(1));
  QuantizedWeight result;
  result.format = state.format;
  result.codes = model::mapped_tensor(state.weight.sizes(), at::kByte);
  result.scales = at::empty(shape, state.format.scale_type);
  if (!state.format.symmetric) result.zero_points = at::empty(shape, at::kByte);
  return result;
}

/// The same sums from the group at `offset` on.
GradientSums sums_from(const GradientSums& sums, std::int64_t offset) {
  const auto moved = [&](float* sum) { return sum == nullptr ? nullptr : sum + offset; };
  return {moved(sums.product), moved(sums.quotient), moved(sums.inside), moved(sums.all)};
}

/// Sums of every row's groups, and their total over rows when one scale serves all of them.
class Sums {
 public:
  Sums(const Layout& layout, bool wanted, bool symmetric)
      : groups_(layout.groups()),
        kinds_(!wanted     ? 0
               : symmetric ? 2
                           : 4),
        rows_(layout.shared() ? layout.rows() : 0) {
    if (kinds_) shared_.resize(static_cast<std::size_t>(kinds_ * rows_));
  }
  /// Sums of the groups of rows [first, last): in `scratch` unless rows are added up afterwards.
  GradientSums of(std::int64_t first, std::int64_t last, std::vector<float>& scratch) {
    if (rows_) return pointers(shared_.data() + first, rows_);
    const std::int64_t count = (last - first) * groups_;
    scratch.resize(static_cast<std::size_t>(kinds_ * count));
    return pointers(scratch.data(), count);
  }
  /// Adds the rows in order, whatever the number of threads was.
  GradientSums total() {
    for (std::int64_t kind = 0; kind < kinds_; ++kind) {
      float* sums = shared_.data() + kind * rows_;
      for (std::int64_t i = 1; i < rows_; ++i) sums[0] += sums[i];
    }
    return pointers(shared_.data(), rows_);
  }
  explicit operator bool() const { return kinds_ != 0; }

 private:
  GradientSums pointers(float* first, std::int64_t stride) const {
    if (!kinds_) return {};
    if (kinds_ == 2) return {first, first + stride, nullptr, nullptr};
    return {first, first + stride, first + 2 * stride, first + 3 * stride};
  }

  std::int64_t groups_, kinds_, rows_;
  std::vector<float> shared_;
};

}  // namespace

void forward(const RoundingState& state, const at::Tensor& out, const Kernels& kernels) {
  const Layout layout(state);
  const bool round_to_bf16 = state.format.scale_type == at::kBFloat16;
  for_each_row(layout, kernels, [&](std::int64_t row, const float* scale, const float* zero) {
    kernels.forward(layout.row(row, scale, zero), row_of(out, row), round_to_bf16);
  });
}

QuantizedWeight quantize(const RoundingState& state, const Kernels& kernels) {
  const Layout layout(state);
  QuantizedWeight result = empty_weight(state);
  const StoredScales stored(result.scales, result.zero_points, layout.groups());
  for_each_row(layout, kernels, [&](std::int64_t row, const float* scale, const float* zero) {
    kernels.encode(layout.row(row, scale, zero), static_cast<std::uint8_t*>(row_of(result.codes, row)));
    if (!layout.shared() || row == 0) stored.write(row, scale, zero);
  });
  return result;
}

struct Step::Impl {
  Impl(RoundingState& state, StepRates step_rates, bool best, const Kernels& chosen)
      : layout(state),
        rates(step_rates),
        is_best(best),
        kernels(chosen),
        stored(state.best_scales, state.best_zero_points, layout.groups()),
        sums(layout, state.tune_minmax, state.format.symmetric),
        shared(layout, chosen) {}

  Layout layout;
  StepRates rates;
  bool is_best;
  const Kernels& kernels;
  StoredScales stored;
  Sums sums;
  SharedScale shared;
};

Step::Step(RoundingState& state, StepRates rates, bool is_best, const Kernels& kernels) {
  if (is_best && !state.best_codes.defined()) {
    const QuantizedWeight memory = empty_weight(state);
    state.best_codes = memory.codes;
    state.best_scales = memory.scales;
    state.best_zero_points = memory.zero_points;
  }
  impl_ = std::make_unique<Impl>(state, rates, is_best, kernels);
}

Step::~Step() = default;

void Step::rows(std::int64_t first, const at::Tensor& gradient) {
  Impl& step = *impl_;
  const Layout& layout = step.layout;
  const auto step_block = [&](const RowBlock& block, std::vector<float>& scratch) {
    const GradientSums sums = step.sums.of(block.first, block.last, scratch);
    for (std::int64_t row = block.first; row < block.last; ++row) {
      const std::int64_t at = (row - block.first) * layout.groups();
      const float *scale = block.scale + at, *zero = block.zero + at;
      step.kernels.update(layout.row(row, scale, zero), row_of(gradient, row - first), step.rates.value,
                          step.is_best ? layout.best_codes(row) : nullptr, sums_from(sums, at));
      if (step.is_best && (!layout.shared() || row == 0)) step.stored.write(row, scale, zero);
    }
    if (step.sums && !layout.shared()) {
      step.kernels.step(layout.rule(), layout.ranges(block.first, block.last), block.scale, sums, step.rates.minmax);
    }
  };
  for_each_block(layout, step.kernels, step.shared, first, first + gradient.size(0), step_block);
}

void Step::finish() {
  Impl& step = *impl_;
  if (!step.sums || !step.layout.shared()) return;
  step.kernels.step(step.layout.rule(), step.layout.ranges(0, 1), &step.shared.scale, step.sums.total(),
                    step.rates.minmax);
}

void update(RoundingState& state, const at::Tensor& gradient, StepRates rates, bool is_best, const Kernels& kernels) {
  Step step(state, rates, is_best, kernels);
  step.rows(0, gradient);
  step.finish();
}

}  // namespace autoround::quant::fused
