#include "quant/fused_rounding.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

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
    rule_.type = state.format.scale_type == at::kHalf       ? ScaleType::f16
                 : state.format.scale_type == at::kBFloat16 ? ScaleType::bf16
                                                            : ScaleType::f32;
  }

  const ScaleRule& rule() const { return rule_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t groups() const { return groups_; }
  bool shared() const { return shared_; }
  /// Rows for one task of at::parallel_for: enough work to outweigh waking a thread.
  std::int64_t grain() const { return std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(1, columns_)); }

  /// Scales of a row's groups; of the whole tensor when `shared`.
  Ranges ranges(std::int64_t row) const {
    const std::int64_t first = shared_ ? 0 : row * groups_;
    return {groups_, state_.weight_min.const_data_ptr<float>() + first,
            state_.weight_max.const_data_ptr<float>() + first, state_.min_scale.data_ptr<float>() + first,
            state_.max_scale.data_ptr<float>() + first};
  }

  Row row(std::int64_t index, const float* scale, const float* zero) const {
    Row row;
    row.element = state_.weight.scalar_type() == at::kBFloat16 ? Element::bf16 : Element::f32;
    row.columns = columns_;
    row.group = state_.format.columns_per_group(columns_);
    row.levels = rule_.levels;
    row.weight = row_of(state_.weight, index);
    row.value = state_.value.defined() ? value(index) : nullptr;
    row.scale = scale;
    row.zero = zero;
    return row;
  }
  float* value(std::int64_t row) const { return state_.value.data_ptr<float>() + row * columns_; }

  static void* row_of(const at::Tensor& matrix, std::int64_t row) {
    return static_cast<char*>(matrix.data_ptr()) + row * matrix.stride(0) * matrix.element_size();
  }

 private:
  const RoundingState& state_;
  std::int64_t rows_, columns_;
  bool shared_;  // one scale for the whole tensor
  std::int64_t groups_;
  ScaleRule rule_;
};

/// Runs body(row, scale, zero, scratch) over all rows in parallel; scratch is memory of the task. Scales shared by all
/// rows are computed before.
template <class Body>
void for_each_row(const Layout& layout, const Kernels& kernels, const Body& body) {
  const std::size_t groups = static_cast<std::size_t>(layout.groups());
  std::vector<float> shared(2);
  if (layout.shared()) kernels.scales(layout.rule(), layout.ranges(0), &shared[0], &shared[1]);
  at::parallel_for(0, layout.rows(), layout.grain(), [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scale(groups, shared[0]), zero(groups, shared[1]), scratch;
    for (std::int64_t row = begin; row < end; ++row) {
      if (!layout.shared()) kernels.scales(layout.rule(), layout.ranges(row), scale.data(), zero.data());
      body(row, scale.data(), zero.data(), scratch);
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
  result.codes = at::empty(state.weight.sizes(), at::kByte);
  result.scales = at::empty(shape, state.format.scale_type);
  if (!state.format.symmetric) result.zero_points = at::empty(shape, at::kByte);
  return result;
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
  /// Sums of one row: in `scratch` (kinds x groups) unless rows are added up afterwards.
  GradientSums row(std::int64_t row, std::vector<float>& scratch) {
    if (rows_) return pointers(shared_.data() + row, rows_);
    scratch.resize(static_cast<std::size_t>(kinds_ * groups_));
    return pointers(scratch.data(), groups_);
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

void forward(const RoundingState& state, at::Tensor& out, const Kernels& kernels) {
  const Layout layout(state);
  const bool round_to_bf16 = state.format.scale_type == at::kBFloat16;
  for_each_row(layout, kernels, [&](std::int64_t row, const float* scale, const float* zero, auto&) {
    kernels.forward(layout.row(row, scale, zero), Layout::row_of(out, row), round_to_bf16);
  });
}

QuantizedWeight quantize(const RoundingState& state, const Kernels& kernels) {
  const Layout layout(state);
  QuantizedWeight result = empty_weight(state);
  const StoredScales stored(result.scales, result.zero_points, layout.groups());
  for_each_row(layout, kernels, [&](std::int64_t row, const float* scale, const float* zero, auto&) {
    kernels.encode(layout.row(row, scale, zero), static_cast<std::uint8_t*>(Layout::row_of(result.codes, row)));
    if (!layout.shared() || row == 0) stored.write(row, scale, zero);
  });
  return result;
}

void update(RoundingState& state, const at::Tensor& gradient, StepRates rates, bool is_best, const Kernels& kernels) {
  const Layout layout(state);
  if (is_best && !state.best_codes.defined()) {
    const QuantizedWeight memory = empty_weight(state);
    state.best_codes = memory.codes;
    state.best_scales = memory.scales;
    state.best_zero_points = memory.zero_points;
  }
  const StoredScales stored(state.best_scales, state.best_zero_points, layout.groups());
  Sums sums(layout, state.tune_minmax, state.format.symmetric);
  for_each_row(layout, kernels,
               [&](std::int64_t row, const float* scale, const float* zero, std::vector<float>& scratch) {
                 const GradientSums of_row = sums.row(row, scratch);
                 auto* codes = is_best ? static_cast<std::uint8_t*>(Layout::row_of(state.best_codes, row)) : nullptr;
                 kernels.update(layout.row(row, scale, zero), layout.value(row), Layout::row_of(gradient, row),
                                rates.value, codes, of_row);
                 if (is_best && (!layout.shared() || row == 0)) stored.write(row, scale, zero);
                 if (sums && !layout.shared())
                   kernels.step(layout.rule(), layout.ranges(row), scale, of_row, rates.minmax);
               });
  if (sums && layout.shared()) {
    float scale, zero;
    kernels.scales(layout.rule(), layout.ranges(0), &scale, &zero);
    kernels.step(layout.rule(), layout.ranges(0), &scale, sums.total(), rates.minmax);
  }
}

}  // namespace autoround::quant::fused
