#include "quant/super_scales.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"
#include "quant/matrix_rows.hpp"

namespace autoround::quant {
namespace {

constexpr float kLargestHalf = 65504.f;

/// In the order of at::sum, as group_search_kernels.hpp sums.
float ordered_sum(const float* terms, std::int64_t count) {
  std::array<float, 8> lanes{};
  for (std::int64_t i = 0; i < count; i += 8)
    for (std::size_t k = 0; k < 8; ++k) lanes[k] += terms[i + static_cast<std::int64_t>(k)];
  float total = 0.f;
  for (const float lane : lanes) total += lane;
  return total;
}

/// What is tried on every group, in auto-round's order.
std::vector<float> factors_of(const WeightFormat& format, bool weighed) {
  std::vector<float> factors;
  if (format.symmetric) {
    for (int i = -9; i < 10; ++i)
      if (i != 0) factors.push_back(static_cast<float>(-(static_cast<double>(format.levels() / 2) + -0.1 * i)));
    return factors;
  }
  const double first = weighed ? -0.9 : format.bits == 4 ? -1.0 : -0.5, step = weighed ? 0.05 : 0.1;
  const int count = weighed ? 36 : format.bits == 4 ? 20 : 15;
  for (int i = 0; i < count; ++i)
    factors.push_back(static_cast<float>(first + step * i + static_cast<double>(format.levels() - 1)));
  return factors;
}

/// Numbers of a super group as integers in units of one of them.
struct Units {
  float unit = 0.f;
  std::array<float, 16> factors{};
};

/// The largest becomes the largest integer.
Units in_units_of_largest(const float* numbers, std::int64_t count, float most) {
  Units result;
  const float largest = std::max(0.f, *std::max_element(numbers, numbers + count));
  const float inverse = std::max(0.f, most * reciprocal(largest));
  result.unit = largest / most;
  for (std::int64_t i = 0; i < count; ++i)
    result.factors[static_cast<std::size_t>(i)] = std::min(std::nearbyint(numbers[i] * inverse), most);
  return result;
}

/// The number of largest magnitude becomes the most negative integer.
Units in_signed_units(const float* numbers, std::int64_t count, float most) {
  Units result;
  float peak = numbers[0];
  for (std::int64_t i = 1; i < count; ++i)
    if (std::fabs(numbers[i]) > std::fabs(peak)) peak = numbers[i];
  result.unit = peak / -most;
  const float inverse = reciprocal(result.unit);
  for (std::int64_t i = 0; i < count; ++i)
    result.factors[static_cast<std::size_t>(i)] = std::clamp(std::nearbyint(numbers[i] * inverse), -most, most - 1.f);
  return result;
}

/// The integers of the best of nine units, and the unit that fits them best, where errors of numbers have a cost.
Units in_units_that_fit(const float* numbers, const float* cost, std::int64_t count, float most) {
  const float largest = *std::max_element(numbers, numbers + count);
  std::array<float, 16> terms{};
  const auto error_of = [&](float unit, float inverse, bool clips) {
    for (std::int64_t i = 0; i < count; ++i) {
      const float rounded = std::nearbyint(inverse * numbers[i]);
      const float difference = numbers[i] - unit * (clips ? std::min(rounded, most) : rounded);
      terms[static_cast<std::size_t>(i)] = cost[i] * difference * difference;
    }
    return ordered_sum(terms.data(), count);
  };
  float inverse = reciprocal(largest / most), least = error_of(largest / most, inverse, false);
  for (int i = -4; i < 5; ++i) {
    if (i == 0) continue;
    const float unit = largest / static_cast<float>(0.1 * i + static_cast<double>(most)), trial = reciprocal(unit);
    if (const float error = error_of(unit, trial, true); error < least) {
      least = error;
      inverse = trial;
    }
  }
  Units result;
  std::array<float, 16> squares{};
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const float factor = std::min(std::nearbyint(inverse * numbers[i]), most);
    result.factors[i] = factor;
    terms[i] = cost[i] * numbers[i] * factor;
    squares[i] = cost[i] * factor * factor;
  }
  const float of_squares = ordered_sum(squares.data(), count);
  result.unit = of_squares > 0.f ? ordered_sum(terms.data(), count) / of_squares : largest / most;
  return result;
}

/// Searches rows, each into its place.
class Search {
 public:
  Search(const WeightFormat& format, const at::Tensor& weight, const at::Tensor& importance, const Kernels& kernels)
      : format_(format),
        weight_(weight),
        importance_(importance.defined() ? importance.const_data_ptr<float>() : nullptr),
        kernels_(kernels),
        columns_(weight.size(1)),
        groups_(format.groups_per_row(columns_)),
        factors_(factors_of(format, importance.defined())) {
    search_ = {format.symmetric, format.bits == 2 && importance_ == nullptr, static_cast<float>(format.levels()),
               format.group,     static_cast<std::int64_t>(factors_.size()), factors_.data()};
  }

  SuperScales run() const {
    const std::int64_t rows = weight_.size(0), supers = groups_ / format_.super_group;
    const auto empty = [&](std::int64_t width, at::ScalarType type) { return at::empty({rows, width}, type); };
    SuperScales result{empty(supers, at::kHalf),
                       {.scale_factors = empty(groups_, at::kChar), .minima = {}, .minimum_factors = {}},
                       empty(groups_, at::kFloat),
                       at::zeros({rows, groups_}, at::kFloat)};
    if (!format_.symmetric) {
      result.parts.minima = empty(supers, at::kHalf);
      result.parts.minimum_factors = empty(groups_, at::kChar);
    }
    at::parallel_for(0, rows, rows_per_task(columns_, 4096), [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> costs(static_cast<std::size_t>(columns_));
      for (std::int64_t row = begin; row < end; ++row) search_row(row, costs, result);
    });
    return result;
  }

 private:
  void search_row(std::int64_t row, std::vector<float>& costs, SuperScales& result) const {
    const at::Tensor values = weight_.select(0, row).to(at::kFloat);
    fill_costs(values.const_data_ptr<float>(), costs);
    float* const scale = result.scale.data_ptr<float>() + row * groups_;
    float* const minimum = result.minimum.data_ptr<float>() + row * groups_;
    kernels_.search_groups(search_, values.const_data_ptr<float>(), costs.data(), groups_, scale, minimum);
    std::array<float, 16> sums{};  // of costs of groups
    const std::int64_t width = format_.super_group;
    for (std::int64_t first = 0; first < groups_; first += width) {
      if (importance_ != nullptr && !format_.symmetric)
        for (std::int64_t i = 0; i < width; ++i)
          sums[static_cast<std::size_t>(i)] = ordered_sum(costs.data() + (first + i) * format_.group, format_.group);
      const std::int64_t place = row * groups_ + first;
      store(scale + first, sums.data(), result.scales, result.parts.scale_factors, place);
      if (!format_.symmetric)
        store(minimum + first, sums.data(), result.parts.minima, result.parts.minimum_factors, place);
    }
  }

  /// What an error of each value of a row costs.
  void fill_costs(const float* values, std::vector<float>& costs) const {
    if (importance_ != nullptr) return void(std::copy_n(importance_, costs.size(), costs.begin()));
    for (std::size_t i = 0; i < costs.size(); ++i)
      costs[i] = format_.symmetric ? values[i] * values[i] : std::fabs(values[i]);
    if (format_.symmetric || format_.bits == 2) return;
    std::array<float, 32> squares{};
    for (std::size_t first = 0; first < costs.size(); first += squares.size()) {
      for (std::size_t i = 0; i < squares.size(); ++i) squares[i] = values[first + i] * values[first + i];
      const float typical = std::sqrt(ordered_sum(squares.data(), 32) / 32.f);
      for (std::size_t i = 0; i < squares.size(); ++i) costs[first + i] += typical;
    }
  }

  /// Numbers of one super group, in place, become what their integers stand for.
  void store(float* numbers, const float* cost, const at::Tensor& units, const at::Tensor& factors,
             std::int64_t place) const {
    const std::int64_t count = format_.super_group;
    for (std::int64_t i = 0; i < count; ++i)
      if (std::fabs(numbers[i]) < kNextToNothing) numbers[i] = 0.f;
    Units found;
    float least = 0.f, most = std::ldexp(1.f, format_.super_bits) - 1.f;
    if (format_.symmetric) {
      most = std::ldexp(1.f, format_.super_bits - 1);
      least = -most;
      found = in_signed_units(numbers, count, most);
    } else {
      found = importance_ != nullptr ? in_units_that_fit(numbers, cost, count, most)
                                     : in_units_of_largest(numbers, count, most);
    }
    if (std::fabs(found.unit) > kLargestHalf)
      fail(Code::numeric, "weight",
           "a super group needs the scale " + format_number(found.unit) + ", which float16 cannot hold");
    const at::Half unit = found.unit;
    units.data_ptr<at::Half>()[place / count] = unit;
    for (std::int64_t i = 0; i < count; ++i) {
      const float factor = std::max(found.factors[static_cast<std::size_t>(i)], least);
      factors.data_ptr<std::int8_t>()[place + i] = static_cast<std::int8_t>(factor);
      numbers[i] = static_cast<float>(unit) * factor;
    }
  }

  const WeightFormat& format_;
  const at::Tensor& weight_;
  const float* importance_;
  const Kernels& kernels_;
  std::int64_t columns_, groups_;
  std::vector<float> factors_;
  GroupSearch search_;
};

}  // namespace

namespace {

SuperScales moved(SuperScales found, at::Device device) {
  for (at::Tensor* part : {&found.scales, &found.parts.scale_factors, &found.parts.minima, &found.parts.minimum_factors,
                           &found.scale, &found.minimum})
    if (part->defined()) *part = part->to(device);
  return found;
}

}  // namespace

SuperScales search_super_scales(const WeightFormat& format, const at::Tensor& weight, const at::Tensor& importance,
                                const Kernels& kernels) {
  if (!weight.is_cpu()) {
    const at::Tensor host = importance.defined() ? importance.cpu() : importance;
    return moved(search_super_scales(format, weight.cpu(), host, kernels), weight.device());
  }
  const std::int64_t columns = format.group * format.super_group;
  if (weight.size(1) % columns != 0)
    fail(Code::unsupported, "weight",
         "it has " + std::to_string(weight.size(1)) + " columns, and super groups need a multiple of " +
             std::to_string(columns));
  return Search(format, weight, importance, kernels).run();
}

}  // namespace autoround::quant
