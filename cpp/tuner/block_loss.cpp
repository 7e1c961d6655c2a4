// Compiled with OpenMP (guided_for.hpp) and therefore without the precompiled header.
#include "tuner/block_loss.hpp"

#include <ATen/ops/empty.h>
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <array>
#include <gsl/assert>
#include <numeric>
#include <vector>

#include "device/device.hpp"
#include "model/guided_for.hpp"
#include "tuner/device_loss.hpp"

namespace autoround::tuner {
namespace {

constexpr std::int64_t lanes = 16;  // independent partial sums, so that the compiler may use vector registers

struct NoGradient {
  void store(std::int64_t, float) const {}
};

template <typename T>
struct StoreGradient {
  T* out;
  float scale;
  void store(std::int64_t i, float difference) const { out[i] = static_cast<T>(2.0f * difference * scale); }
};

struct KeepAll {
  float keep(float difference) const { return difference; }
};

template <typename T, typename Gradient, typename Filter>
double row_error(const T* prediction, const T* target, std::int64_t n, Gradient gradient, Filter filter) {
  std::array<float, lanes> sums{};
  const auto add = [&](std::int64_t i, std::size_t lane) {
    const float difference = filter.keep(static_cast<float>(prediction[i]) - static_cast<float>(target[i]));
    sums[lane] += difference * difference;
    gradient.store(i, difference);
  };
  const std::int64_t whole = n - n % lanes;
  for (std::int64_t i = 0; i < whole; i += lanes) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) add(i + lane, static_cast<std::size_t>(lane));
  }
  for (std::int64_t i = whole; i < n; ++i) add(i, static_cast<std::size_t>(i - whole));
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

template <typename T>
double sum_rows(const at::Tensor& prediction, const at::Tensor& target, gsl::span<const std::int64_t> lengths,
                std::int64_t length, at::Tensor* gradient, float scale, const Outliers* outliers) {
  const std::int64_t rows = prediction.size(0), width = prediction.size(1);
  const T* predicted = prediction.const_data_ptr<T>();
  const T* wanted = target.const_data_ptr<T>();
  T* out = gradient != nullptr ? gradient->mutable_data_ptr<T>() : nullptr;
  std::vector<double> errors(static_cast<std::size_t>(rows), 0.0);

  const auto error_of = [&](std::int64_t row, auto filter) {
    const std::int64_t at = row * width;
    return out != nullptr ? row_error(predicted + at, wanted + at, width, StoreGradient<T>{out + at, scale}, filter)
                          : row_error(predicted + at, wanted + at, width, NoGradient{}, filter);
  };
  model::guided_for(rows, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const bool padding = row % length >= lengths[static_cast<std::size_t>(row / length)];
      if (padding) {
        if (out != nullptr) std::fill_n(out + row * width, width, T(0.0f));
        continue;
      }
      errors[static_cast<std::size_t>(row)] =
          outliers != nullptr ? error_of(row, outliers->of_row(row)) : error_of(row, KeepAll{});
    }
  });
  return std::accumulate(errors.begin(), errors.end(), 0.0);
}

double sum_on_device(const at::Tensor& prediction, const at::Tensor& target, gsl::span<const std::int64_t> lengths,
                     std::int64_t length, at::Tensor* gradient, float scale) {
  const at::Tensor real = lengths_on(prediction.device(), lengths);
  const at::Tensor errors = at::empty({prediction.size(0)}, prediction.options().dtype(at::kDouble));
  device::kernels(prediction.device())
      .loss(device_loss(prediction, target, real, length, gradient, scale, errors.mutable_data_ptr<double>()));
  return errors.sum().item<double>();
}

}  // namespace

double squared_error(const at::Tensor& prediction, const at::Tensor& target, gsl::span<const std::int64_t> lengths,
                     std::int64_t length, at::Tensor* gradient, float scale, const Outliers* outliers) {
  Expects(prediction.dim() == 2 && prediction.sizes() == target.sizes());
  Expects(prediction.scalar_type() == target.scalar_type());
  Expects(prediction.is_contiguous() && target.is_contiguous());
  Expects(prediction.size(0) == static_cast<std::int64_t>(lengths.size()) * length);
  Expects(gradient == nullptr || (gradient->is_contiguous() && gradient->sizes() == prediction.sizes() &&
                                  gradient->scalar_type() == prediction.scalar_type()));
  if (!prediction.is_cpu())
    return sum_on_device(outliers != nullptr ? outliers->equalled(prediction, target) : prediction, target, lengths,
                         length, gradient, scale);
  if (prediction.scalar_type() == at::kBFloat16) {
    return sum_rows<at::BFloat16>(prediction, target, lengths, length, gradient, scale, outliers);
  }
  Expects(prediction.scalar_type() == at::kFloat);
  return sum_rows<float>(prediction, target, lengths, length, gradient, scale, outliers);
}

}  // namespace autoround::tuner
