// Compiled with OpenMP (at::parallel_for is serial without it) and therefore without the precompiled header.
#include "tuner/outliers.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <gsl/assert>
#include <mutex>

#include "tuner/device_loss.hpp"

namespace autoround::tuner {

Outliers::Outliers(const at::Tensor& prediction, const at::Tensor& target, gsl::span<const std::int64_t> lengths,
                   std::int64_t length, double share) {
  Expects(share > 0.0);
  if (!prediction.is_cpu()) {
    find_on_device(prediction, target, lengths, length, share);
    return;
  }
  const std::int64_t rows = prediction.size(0), width = prediction.size(1);
  const bool narrow = prediction.scalar_type() == at::kBFloat16;
  const void *predicted = prediction.const_data_ptr(), *wanted = target.const_data_ptr();
  const auto value = [narrow](const void* values, std::int64_t i) {
    return narrow ? static_cast<float>(static_cast<const at::BFloat16*>(values)[i])
                  : static_cast<const float*>(values)[i];
  };
  /// Calls body(row, key) for every element on a real token of these rows.
  const auto for_each_key = [&](std::int64_t begin, std::int64_t end, const auto& body) {
    for (std::int64_t row = begin; row < end; ++row) {
      if (row % length >= lengths[static_cast<std::size_t>(row / length)]) continue;
      for (std::int64_t i = row * width; i < (row + 1) * width; ++i)
        body(row, key_of(value(predicted, i) - value(wanted, i)));
    }
  };

  std::vector<std::int64_t> counts(finite_keys, 0);
  std::mutex counting;
  at::parallel_for(0, rows, 16, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::uint32_t> own(finite_keys, 0);
    for_each_key(begin, end, [&](std::int64_t, std::size_t key) {
      if (key < finite_keys) ++own[key];
    });
    const std::lock_guard<std::mutex> lock(counting);
    for (std::size_t key = 0; key < finite_keys; ++key) counts[key] += own[key];
  });

  std::int64_t left = find_least(counts.data(), lengths, width, share);

  ties_.assign(static_cast<std::size_t>(rows), 0);
  at::parallel_for(0, rows, 16, [&](std::int64_t begin, std::int64_t end) {
    for_each_key(begin, end, [&](std::int64_t row, std::size_t key) {
      if (key == least_) ++ties_[static_cast<std::size_t>(row)];
    });
  });
  for (std::int64_t& ties : ties_) {
    ties = std::min(ties, left);
    left -= ties;
  }
}

/// Sets least_ from how often each key occurs among the elements of real tokens; how many with that key are outliers.
std::int64_t Outliers::find_least(const std::int64_t* counts, gsl::span<const std::int64_t> lengths, std::int64_t width,
                                  double share) {
  std::int64_t real = 0;
  for (const std::int64_t tokens : lengths) real += tokens * width;
  std::int64_t left = std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(real) * share));
  while (least_ > 0 && left > 0) {
    const std::int64_t here = counts[--least_];
    if (here >= left) break;
    left -= here;
  }
  return left;
}

void Outliers::find_on_device(const at::Tensor& prediction, const at::Tensor& target,
                              gsl::span<const std::int64_t> lengths, std::int64_t length, double share) {
  const at::NoGradGuard no_grad;
  const auto samples = static_cast<std::int64_t>(lengths.size());
  const at::Tensor real_tokens = lengths_on(prediction.device(), lengths)
                                     .unsqueeze(1)
                                     .gt(at::arange(length, prediction.options().dtype(at::kLong)))
                                     .view({samples * length, 1});
  const at::Tensor difference = prediction.to(at::kFloat) - target.to(at::kFloat);
  // Padding counts as what is not finite: no outlier.
  const at::Tensor keys = difference.to(at::kBFloat16)
                              .view(at::kShort)
                              .bitwise_and(0x7fff)
                              .to(at::kLong)
                              .masked_fill(real_tokens.logical_not(), static_cast<std::int64_t>(finite_keys));
  const at::Tensor counts = at::bincount(keys.view(-1), {}, static_cast<std::int64_t>(finite_keys) + 1).cpu();
  const std::int64_t left = find_least(counts.const_data_ptr<std::int64_t>(), lengths, prediction.size(1), share);
  const auto least = static_cast<std::int64_t>(least_), none = static_cast<std::int64_t>(finite_keys);
  const at::Tensor ties = keys.eq(least).view(-1);
  const at::Tensor first_ties = ties.logical_and(ties.cumsum(0).le(left)).view(keys.sizes());
  mask_ = keys.gt(least).logical_and(keys.lt(none)).logical_or(first_ties);
}

}  // namespace autoround::tuner
