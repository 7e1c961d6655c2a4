#include "tuner/rounding_states.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros_like.h>

#include <gsl/assert>

#include "tuner/block_tuner.hpp"

namespace autoround::tuner {

RoundingStates::RoundingStates(model::DecoderLayer& layer, const std::map<std::string, quant::WeightFormat>& formats,
                               const TuneOptions& options)
    : fused_(options.fused) {
  std::int64_t largest = 0;
  for (model::Projection* projection : layer.projections()) {
    const at::Tensor original = projection->weight;
    TunedProjection tuned{.projection = projection, .parts = {}, .gradient_sum = {}};
    for (const auto& part : projection->parts) {
      const auto format = formats.find(part.name);
      if (format == formats.end()) continue;
      tuned.parts.push_back({part.name, part.row, part.rows,
                             quant::make_rounding_state(format->second, original.narrow(0, part.row, part.rows),
                                                        options.enable_minmax_tuning, options.iters > 0),
                             LayerRates(options, format->second.bits)});
    }
    if (tuned.parts.empty()) continue;
    projection->weight = original.clone();  // rows that are not quantized stay as they are
    if (options.gradient_accumulate_steps > 1) tuned.gradient_sum = at::zeros_like(original, at::kFloat);
    largest = std::max(largest, original.numel());
    projections_.push_back(std::move(tuned));
  }
  if (options.iters > 0 && !empty()) {
    scratch_ = at::empty({largest}, projections_.front().projection->weight.options());
  }
}

TunedProjection* RoundingStates::find(const model::Projection& projection) noexcept {
  for (auto& tuned : projections_) {
    if (tuned.projection == &projection) return &tuned;
  }
  return nullptr;
}

void RoundingStates::write_weights() {
  for (auto& tuned : projections_) {
    for (auto& part : tuned.parts) {
      at::Tensor rows = tuned.projection->weight.narrow(0, part.row, part.rows);
      quant::qdq_forward(part.state, rows, fused_);
    }
  }
}

void RoundingStates::write_weights(const std::vector<quant::QuantizedWeight>& weights) {
  auto weight = weights.begin();
  for (auto& tuned : projections_) {
    for (const auto& part : tuned.parts) {
      Expects(weight != weights.end() && weight->name == part.name);
      at::Tensor& projected = tuned.projection->weight;
      projected.narrow(0, part.row, part.rows).copy_(quant::dequantize(*weight++, projected.scalar_type()));
    }
  }
}

at::Tensor RoundingStates::scratch_like(const at::Tensor& weight) {
  return scratch_.narrow(0, 0, weight.numel()).view(weight.sizes());
}

void RoundingStates::apply_gradient(TunedProjection& tuned, const at::Tensor& output_gradient,
                                    const at::Tensor& input) {
  at::Tensor gradient = scratch_like(tuned.projection->weight);
  at::mm_out(gradient, output_gradient.t(), input);

  if (!(pass_.first && pass_.last)) {
    // Each micro-batch's gradient is rounded to the compute type, as a lone one is, and the sum is kept in fp32.
    if (pass_.first) tuned.gradient_sum.zero_();
    tuned.gradient_sum.add_(gradient);
    if (!pass_.last) return;
    gradient.copy_(tuned.gradient_sum);
  }
  for (auto& part : tuned.parts) {
    quant::qdq_update(part.state, gradient.narrow(0, part.row, part.rows), part.rates.current(), pass_.is_best, fused_);
  }
}

void RoundingStates::advance() {
  for (auto& tuned : projections_) {
    for (auto& part : tuned.parts) part.rates.advance();
  }
}

std::vector<quant::QuantizedWeight> RoundingStates::nearest() const {
  std::vector<quant::QuantizedWeight> weights;
  for (const auto& tuned : projections_) {
    for (const auto& part : tuned.parts) {
      const auto& state = part.state;
      const auto untuned = quant::make_rounding_state(state.format, state.weight, state.tune_minmax, false);
      weights.push_back(quant::quantize(untuned, part.name));
    }
  }
  return weights;
}

std::vector<quant::QuantizedWeight> RoundingStates::best() const {
  std::vector<quant::QuantizedWeight> weights;
  for (const auto& tuned : projections_) {
    for (const auto& part : tuned.parts) weights.push_back(quant::best(part.state, part.name));
  }
  return weights;
}

}  // namespace autoround::tuner
