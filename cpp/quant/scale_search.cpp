#include "quant/scale_search.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.hpp"
#include "quant/float_rounding.hpp"
#include "quant/matrix_rows.hpp"

namespace autoround::quant {
namespace {

/// What is tried on every group, most obvious first: of integers what the reciprocal of the peak is multiplied with, of
/// floating-point numbers a factor of the largest magnitude.
std::vector<float> factors_of(const WeightFormat& format) {
  std::vector<float> factors;
  if (has_power_scales(format.number)) return {1.f, 0.5f, 2.f};  // a shared exponent changes by whole numbers only
  if (format.number == Number::nvfp4) {
    factors.push_back(1.f);
    for (int percent = 50; percent < 152; ++percent)
      if (percent != 100) factors.push_back(static_cast<float>(percent / 100.0));
    return factors;
  }
  const double most = std::ldexp(1.0, format.bits - 1), reach = most * 0.75;
  const double step = format.bits == 2 ? 0.01 : reach / 200.0 * 2.0;
  const int count = format.bits == 2 ? 90 : static_cast<int>(reach / step);
  factors.push_back(static_cast<float>(-most));
  for (int i = -count; i <= count; ++i)
    if (i != 0) factors.push_back(static_cast<float>(-(most - step * i)));
  return factors;
}

/// The value of largest magnitude, the first of several.
float peak_of(const float* values, std::int64_t count) {
  float peak = 0.f;
  for (std::int64_t i = 0; i < count; ++i)
    if (std::fabs(values[i]) > std::fabs(peak)) peak = values[i];
  return peak;
}

/// The trials of one group after another, in memory of one task.
class GroupTrials {
 public:
  GroupTrials(const WeightFormat& format, float global_scale, const std::vector<float>& factors, const Kernels& kernels)
      : format_(format), factors_(factors), kernels_(kernels), padded_(factors) {
    padded_.resize((factors.size() + kTrialsAtOnce - 1) / kTrialsAtOnce * kTrialsAtOnce, factors.front());
    errors_.resize(padded_.size());
    trials_.count = static_cast<std::int64_t>(padded_.size());
    trials_.factors = padded_.data();
    trials_.global_scale = global_scale;
    if (is_float(format.number)) {
      trials_.kind = has_power_scales(format.number) ? TrialKind::powers : TrialKind::nvfp4;
      trials_.grid = grid_of(format.number);
    } else {
      trials_.lowest = -static_cast<float>(format.levels() / 2);
      trials_.highest = -trials_.lowest - 1.f;
    }
  }

  const Trials& of_peak(float peak) {
    trials_.unit = trials_.kind == TrialKind::integers ? reciprocal(peak) : std::fabs(peak);
    if (trials_.kind == TrialKind::powers) {
      for (std::size_t i = 0; i < factors_.size(); ++i) padded_[i] = trials_.unit * factors_[i];
      FloatScales scales;
      scales.scale = padded_.data();
      kernels_.float_scales(floats::scale_rule(format_, 1.f), padded_.data(),
                            static_cast<std::int64_t>(factors_.size()), scales);
    }
    return trials_;
  }
  float* errors() { return errors_.data(); }
  std::size_t size() const { return errors_.size(); }

  /// What RoundingState::searched_scale says of the trial with the smallest of these errors.
  float best(const float* errors) const {
    std::size_t best = 0;
    for (std::size_t i = 1; i < factors_.size(); ++i)
      if (errors[i] < errors[best]) best = i;
    if (trials_.kind != TrialKind::integers) return factors_[best];
    const float scale = reciprocal(factors_[best] * trials_.unit), least = format_.smallest_scale();
    return scale < 0.f ? std::min(scale, -least) : std::max(scale, least);
  }

 private:
  const WeightFormat& format_;
  const std::vector<float>& factors_;
  const Kernels& kernels_;
  std::vector<float> padded_, errors_;
  Trials trials_;
};

class Search {
 public:
  Search(const RoundingState& state, const at::Tensor& importance, const Kernels& kernels)
      : state_(state),
        format_(state.format),
        kernels_(kernels),
        importance_(importance.defined() ? importance.const_data_ptr<float>() : nullptr),
        rows_(state.weight.size(0)),
        columns_(state.weight.size(1)),
        global_(state.global_scale.defined() ? state.global_scale.item<float>() : 1.f),
        factors_(factors_of(format_)) {}

  /// One scale a group of a row.
  void groups(float* found) const {
    const std::int64_t width = format_.columns_per_group(columns_), groups = format_.groups_per_row(columns_);
    at::parallel_for(0, rows_, grain(), [&](std::int64_t begin, std::int64_t end) {
      GroupTrials trials = make_trials();
      for (std::int64_t row = begin; row < end; ++row) {
        const at::Tensor values = row_of(row);
        for (std::int64_t group = 0; group < groups; ++group) {
          const std::int64_t first = group * width;
          const TrialGroup part = part_of(values, first, std::min(width, columns_ - first), width);
          kernels_.trial_errors(trials.of_peak(peak_of(part.values, part.count)), part, trials.errors());
          found[row * groups + group] = trials.best(trials.errors());
        }
      }
    });
  }

  /// One scale for the tensor: rows are added up in order, whatever the number of threads is.
  float tensor() const {
    float peak = 0.f;
    for (std::int64_t row = 0; row < rows_; ++row) {
      const float candidates[2] = {peak, peak_of(row_of(row).const_data_ptr<float>(), columns_)};
      peak = peak_of(candidates, 2);
    }
    GroupTrials trials = make_trials();
    const Trials& tried = trials.of_peak(peak);
    std::vector<float> errors(static_cast<std::size_t>(rows_) * trials.size());
    at::parallel_for(0, rows_, grain(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const at::Tensor values = row_of(row);
        kernels_.trial_errors(tried, part_of(values, 0, columns_, columns_),
                              errors.data() + static_cast<std::size_t>(row) * trials.size());
      }
    });
    for (std::size_t i = trials.size(); i < errors.size(); ++i) errors[i % trials.size()] += errors[i];
    return trials.best(errors.data());
  }

 private:
  GroupTrials make_trials() const { return {format_, global_, factors_, kernels_}; }
  at::Tensor row_of(std::int64_t row) const { return state_.weight.select(0, row).to(at::kFloat); }
  TrialGroup part_of(const at::Tensor& values, std::int64_t first, std::int64_t count, std::int64_t width) const {
    return {values.const_data_ptr<float>() + first, importance_ ? importance_ + first : nullptr, count, width};
  }
  /// Rows for one task: a row is hundreds of passes over it.
  std::int64_t grain() const { return std::max<std::int64_t>(1, 1024 / columns_); }

  const RoundingState& state_;
  const WeightFormat& format_;
  const Kernels& kernels_;
  const float* importance_;
  std::int64_t rows_, columns_;
  float global_;
  std::vector<float> factors_;
};

/// A search happens once a layer and takes what it needs from the device.
void search_on_host(RoundingState& state, const at::Tensor& importance, const Kernels& kernels) {
  RoundingState host;
  host.format = state.format;
  host.weight = state.weight.cpu();
  host.max_scale = state.max_scale.cpu();
  host.weight_max = state.weight_max.cpu();
  if (state.global_scale.defined()) host.global_scale = state.global_scale.cpu();
  search_scales(host, importance.defined() ? importance.cpu() : importance, kernels);
  state.searched_scale = host.searched_scale.to(state.weight.device());
}

}  // namespace

bool can_search_scales(const WeightFormat& format) {
  if (format.has_super_groups()) return true;
  return format.number == Number::integer ? format.symmetric : format.number != Number::fp8;
}

void search_scales(RoundingState& state, const at::Tensor& importance, const Kernels& kernels) {
  if (!can_search_scales(state.format))
    fail(Code::unsupported, "weights", "Scales of asymmetric integers and of FP8 are not searched.");
  if (importance.defined() && (importance.scalar_type() != at::kFloat || !importance.is_contiguous() ||
                               importance.dim() != 1 || importance.size(0) != state.weight.size(1)))
    fail(Code::internal, "importance", "Importance is contiguous fp32, one value a column of the weight.");
  if (state.format.has_super_groups()) {
    state.super = search_super_scales(state.format, state.weight, importance, kernels);
    return;
  }
  if (!state.weight.is_cpu()) return search_on_host(state, importance, kernels);
  at::Tensor found = at::empty_like(state.max_scale);
  const Search search(state, importance, kernels);
  float* to = found.mutable_data_ptr<float>();
  if (state.format.group == 0) {
    *to = search.tensor();
  } else {
    search.groups(to);
  }
  state.searched_scale = found;
}

}  // namespace autoround::quant
