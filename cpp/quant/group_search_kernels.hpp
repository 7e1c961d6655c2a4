// Scale and minimum of groups of 16 or 32 columns, a group in each lane, so that no sum crosses lanes and each group
// keeps what it found last, which the next trial starts from. Part of row_kernels.hpp.
#pragma once

#include "quant/ordered_sum.hpp"
#include "quant/scale_kernels.hpp"
#include "quant/trial_kernels.hpp"

namespace autoround::quant::AUTOROUND_ISA {
namespace {

/// In the order of at::sum; spoils the terms.
template <int kColumns>
Float sum_of_columns(Float* terms) {
  if (kColumns == kBlock) return sum_of_lanes(terms, terms, 0);
  Float lanes[kBlock] = {};
  return sum_of_lanes(lanes, terms, kColumns);
}

template <int kColumns>
struct GroupColumns {
  Float x[kColumns], cost[kColumns];

  template <class Term>
  Float sum(const Term& term) const {
    Float terms[kColumns];
    for (int i = 0; i < kColumns; ++i) terms[i] = term(x[i], cost[i]);
    return sum_of_columns<kColumns>(terms);
  }
};

Float nearest_code(Float value, float lowest, float highest) { return round_even(clamp(value, lowest, highest)); }

/// Weighted least squares of x = code * scale + low for the codes that a range of trial gives.
template <int kColumns>
void search_minima(const GroupSearch& search, const GroupColumns<kColumns>& group, Float& scale, Float& minimum) {
  const float top = search.levels - 1.f;
  const Float none{};
  Float low = none, high = group.x[0];  // a minimum is stored without a sign, so it is never above zero
  for (const Float x : group.x) {
    low = x < low ? x : low;
    high = x > high ? x : high;
  }
  const auto code_of = [&](Float x, Float from, Float inverse) { return nearest_code((x - from) * inverse, 0.f, top); };
  const auto error_of = [&](Float of_scale, Float from) {
    const Float inverse = reciprocal(of_scale, kNextToNothing);
    return group.sum([&](Float x, Float cost) {
      const Float difference = of_scale * code_of(x, from, inverse) + from - x;
      return cost * (search.absolute ? magnitude_of(difference) : difference * difference);
    });
  };
  const Float sum_w = group.sum([](Float, Float cost) { return cost; });
  const Float sum_x = group.sum([](Float x, Float cost) { return cost * x; });
  scale = (high - low) / all(top);
  Float best = error_of(scale, low);
  for (std::int64_t i = 0; i < search.count; ++i) {
    const Float inverse = reciprocal((high - low) / all(search.factors[i]), kNextToNothing);
    Float terms_l[kColumns], terms_l2[kColumns], terms_xl[kColumns];
    for (int k = 0; k < kColumns; ++k) {
      const Float code = code_of(group.x[k], low, inverse), weighted = code * group.cost[k];
      terms_l[k] = weighted;
      terms_l2[k] = weighted * code;
      terms_xl[k] = weighted * group.x[k];
    }
    const Float sum_l = sum_of_columns<kColumns>(terms_l), sum_l2 = sum_of_columns<kColumns>(terms_l2);
    const Float sum_xl = sum_of_columns<kColumns>(terms_xl);
    const Float determinant = sum_w * sum_l2 - sum_l * sum_l;
    const Float solved = (sum_w * sum_xl - sum_x * sum_l) / determinant;
    const Float from = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
    const Float trial_scale = from > none ? sum_xl / sum_l2 : solved, trial_low = from > none ? none : from;
    const Float error = error_of(trial_scale, trial_low);
    const auto better = (error < best) & (determinant > none);
    best = better ? error : best;
    scale = better ? trial_scale : scale;
    low = better ? trial_low : low;
  }
  minimum = none - low;
}

/// The scale for which codes of trial scales fit best, by the correlation of codes and weights.
template <int kColumns>
void search_symmetric(const GroupSearch& search, const GroupColumns<kColumns>& group, Float& scale) {
  const float most = search.levels * 0.5f;
  Float peak{};
  for (const Float x : group.x) peak = magnitude_of(x) > magnitude_of(peak) ? x : peak;
  struct Fit {
    Float xl, l2;
  };
  const auto fit_of = [&](Float inverse) {
    Float terms_xl[kColumns], terms_l2[kColumns];
    for (int k = 0; k < kColumns; ++k) {
      const Float code = nearest_code(group.x[k] * inverse, -most, most - 1.f), cost = group.cost[k];
      terms_xl[k] = cost * group.x[k] * code;
      terms_l2[k] = cost * code * code;
    }
    return Fit{sum_of_columns<kColumns>(terms_xl), sum_of_columns<kColumns>(terms_l2)};
  };
  const Fit first = fit_of(-most * reciprocal(peak, kNextToNothing));
  scale = first.xl * reciprocal(first.l2, kNextToNothing);
  Float best = scale * first.xl;
  const Float of_peak = 1.f / peak;  // of a group of zeros no trial is better
  for (std::int64_t i = 0; i < search.count; ++i) {
    const Fit fit = fit_of(of_peak * search.factors[i]);
    const auto better = (fit.l2 > Float{}) & (fit.xl * fit.xl > best * fit.l2);
    scale = better ? fit.xl / fit.l2 : scale;
    best = better ? scale * fit.xl : best;
  }
}

template <int kColumns>
void search_groups_of(const GroupSearch& search, const float* values, const float* cost, std::int64_t groups,
                      float* scale, float* minimum) {
  for (std::int64_t first = 0; first < groups; first += kLanes) {
    const std::int64_t count = groups - first < kLanes ? groups - first : kLanes;
    float x[kColumns][kLanes] = {}, w[kColumns][kLanes] = {};
    for (std::int64_t lane = 0; lane < count; ++lane) {
      for (int k = 0; k < kColumns; ++k) {
        x[k][lane] = values[(first + lane) * kColumns + k];
        w[k][lane] = cost[(first + lane) * kColumns + k];
      }
    }
    GroupColumns<kColumns> columns;
    for (int k = 0; k < kColumns; ++k) {
      columns.x[k] = load(x[k]);
      columns.cost[k] = load(w[k]);
    }
    Float found{}, least{};
    search.symmetric ? search_symmetric(search, columns, found) : search_minima(search, columns, found, least);
    store(scale + first, found, count);
    store(minimum + first, least, count);
  }
}

void search_groups(const GroupSearch& search, const float* values, const float* cost, std::int64_t groups, float* scale,
                   float* minimum) {
  search.columns == 16 ? search_groups_of<16>(search, values, cost, groups, scale, minimum)
                       : search_groups_of<32>(search, values, cost, groups, scale, minimum);
}

}  // namespace
}  // namespace autoround::quant::AUTOROUND_ISA
