#include "tuner/importance.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "quant/scale_search.hpp"
#include "tuner/block_tuner.hpp"
#include "tuner/real_rows.hpp"

namespace autoround::tuner {
namespace {

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

bool is_routed_expert(const std::string& linear) {
  return contains(linear, "expert") && !contains(linear, "shared_expert");
}

bool is_int4(quant::Number number, int bits) { return number == quant::Number::integer && bits == 4; }

bool counts_channels_alike(const quant::WeightFormat& format, const TuneOptions& options) {
  return options.iters > 0 && is_int4(format.number, format.bits) && format.input &&
         is_int4(format.input->number, format.input->bits);
}

/// Adds up the squares of what comes into the linears that it is told.
class MeasuringOps final : public ObservingOps {
 public:
  using ObservingOps::ObservingOps;

  void want(const std::string& linear) { sums_[linear]; }

  /// Without linears that nothing came into, as experts that no token went to: all their channels count alike.
  Importance take() {
    std::erase_if(sums_, [](const auto& entry) { return !entry.second.defined(); });
    for (auto& [linear, sum] : sums_) {
      const at::Tensor unseen = sum == 0;
      const double seen = static_cast<double>(sum.numel() - unseen.sum().item<std::int64_t>());
      sum = sum.masked_fill(unseen, seen > 0 ? sum.sum().item<double>() / seen : 1.0);
    }
    return std::move(sums_);
  }

 private:
  void observe(const model::Projection& projection, const std::vector<at::Tensor>& pieces) override {
    at::Tensor sum;  // parts of a projection have one input
    for (const auto& part : projection.parts) {
      const auto wanted = sums_.find(part.name);
      if (pieces.empty() || wanted == sums_.end()) continue;
      if (!sum.defined()) sum = sum_of_squares(pieces);
      wanted->second = wanted->second.defined() ? wanted->second + sum : sum;
    }
  }
  static at::Tensor sum_of_squares(const std::vector<at::Tensor>& pieces) {
    at::Tensor sum;
    for (const at::Tensor& rows : pieces) {
      const at::Tensor squares = rows.to(at::kFloat).square().sum(0);
      sum = sum.defined() ? sum + squares : squares;
    }
    return sum;
  }

  Importance sums_;
};

}  // namespace

bool searches_scales(const std::string& linear, const quant::WeightFormat& format, const TuneOptions& options) {
  if (format.has_super_groups()) return true;
  if (!options.search_scales || !quant::can_search_scales(format)) return false;
  if (options.iters > 0) return true;
  return !(format.number == quant::Number::integer && format.bits >= 8) && !is_routed_expert(linear);
}

bool drops_outliers(const std::string& linear, const quant::WeightFormat& format, const TuneOptions& options) {
  const bool few_bits = format.bits < 4 || (format.input && format.input->bits <= 4);
  return few_bits && !format.has_super_groups() && searches_scales(linear, format, options);
}

Importance measure_importance(const Block& block, const BlockData& data,
                              const std::map<std::string, quant::WeightFormat>& formats, const TuneOptions& options,
                              const CancelToken& cancel) {
  const at::NoGradGuard no_grad;
  const auto ops = model::make_ops(data.input.device(), options.arithmetic);
  MeasuringOps measuring(data, *ops);
  bool any = false;
  for (const model::Projection* projection : block.projections()) {
    for (const auto& part : projection->parts) {
      const auto format = formats.find(part.name);
      if (format == formats.end() || !searches_scales(part.name, format->second, options)) continue;
      if (counts_channels_alike(format->second, options)) continue;
      measuring.want(part.name);
      any = true;
    }
  }
  if (!any) return {};
  const auto samples = static_cast<std::int64_t>(data.lengths.size());
  for (std::int64_t first = 0; first < samples; first += options.pass_samples()) {
    cancel.throw_if_requested();
    const std::int64_t count = std::min(options.pass_samples(), samples - first);
    const at::Tensor x = data.input.narrow(0, first * data.length, count * data.length);
    block.forward(x, count, measuring);
    data.streams.rest(x);
  }
  return measuring.take();
}

}  // namespace autoround::tuner
