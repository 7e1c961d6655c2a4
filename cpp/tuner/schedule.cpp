#include "tuner/schedule.hpp"

#include <ATen/ops/empty.h>

#include "tuner/block_tuner.hpp"

namespace autoround::tuner {
namespace {

/// 1/iters lets a rounding value travel half a step in total. With few levels and many iterations twice that pays.
double value_rate(const TuneOptions& options, int bits) {
  if (options.lr != 0.0) return options.lr;
  if (options.iters == 0) return 0.0;
  return (options.iters >= 1000 && bits <= 3 ? 2.0 : 1.0) / static_cast<double>(options.iters);
}

double minmax_rate(const TuneOptions& options, int bits) {
  return options.minmax_lr != 0.0 ? options.minmax_lr : value_rate(options, bits);
}

}  // namespace

void LinearDecay::advance() noexcept {
  ++step_;
  if (step_ > iters_) return;
  // The factor in double, then one fp32 product, as torch multiplies a tensor by a Python number.
  rate_ *= static_cast<float>(1.0 - 1.0 / static_cast<double>(iters_ - (step_ - 1)));
}

LayerRates::LayerRates(const TuneOptions& options, int bits)
    : value_(value_rate(options, bits), options.iters), minmax_(minmax_rate(options, bits), options.iters) {}

void LayerRates::advance() noexcept {
  value_.advance();
  minmax_.advance();
}

at::Tensor LayerRates::table(std::int64_t count) const {
  at::Tensor rates = at::empty({count, 2}, at::kFloat);
  LayerRates now = *this;
  for (float* to = rates.mutable_data_ptr<float>(); count > 0; --count, to += 2, now.advance()) {
    to[0] = now.current().value;
    to[1] = now.current().minmax;
  }
  return rates;
}

}  // namespace autoround::tuner
