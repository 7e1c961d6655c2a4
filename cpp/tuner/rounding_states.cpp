#include "tuner/rounding_states.hpp"

#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <gsl/assert>

#include "base/error.hpp"
#include "model/buffer_pool.hpp"
#include "tuner/block_tuner.hpp"

namespace autoround::tuner {

namespace {

/// Parts of a projection are computed from one input.
void set_input(TunedProjection& tuned, const std::string& part, const quant::WeightFormat& format, bool trains) {
  const bool first = tuned.parts.size() == 1;
  const bool same = first || (tuned.input ? format.input == tuned.input->format() : !format.input);
  if (!same)
    fail(Code::unsupported, part, "its input is that of " + tuned.parts.front().name + ", but is quantized otherwise");
  if (first && format.input) tuned.input.emplace(*format.input, trains);
}

}  // namespace

RoundingStates::RoundingStates(const std::vector<model::Projection*>& projections,
                               const std::map<std::string, quant::WeightFormat>& formats, const TuneOptions& options)
    : fused_(options.fused && options.momentum == 0.0) {
  for (model::Projection* projection : projections) {
    const at::Tensor original = projection->weight;
    TunedProjection tuned{.projection = projection, .parts = {}, .gradient_sum = {}, .input = {}};
    for (const auto& part : projection->parts) {
      const auto format = formats.find(part.name);
      if (format == formats.end()) continue;
      tuned.parts.push_back({part.name, part.row, part.rows,
                             quant::make_rounding_state(format->second, original.narrow(0, part.row, part.rows),
                                                        options.enable_minmax_tuning, options.iters > 0),
                             LayerRates(options, format->second.bits)});
      if (options.momentum != 0.0) quant::add_momentum(tuned.parts.back().state, options.momentum);
      set_input(tuned, part.name, format->second, options.iters > 0 && options.enable_minmax_tuning);
    }
    if (tuned.parts.empty()) continue;
    std::vector<quant::RoundingState*> states;
    for (TunedPart& part : tuned.parts) states.push_back(&part.state);
    quant::share_global_scale(states);
    projection->weight = model::mapped_tensor(original.sizes(), original.scalar_type());
    projection->weight.copy_(original);  // rows that are not quantized stay as they are
    if (options.gradient_accumulate_steps > 1) tuned.gradient_sum = at::zeros_like(original, at::kFloat);
    projections_.push_back(std::move(tuned));
  }
}

TunedProjection* RoundingStates::find(const model::Projection& projection) noexcept {
  for (auto& tuned : projections_) {
    if (tuned.projection == &projection) return &tuned;
  }
  return nullptr;
}

bool RoundingStates::needs_calibration() const noexcept {
  return std::any_of(projections_.begin(), projections_.end(), [](const TunedProjection& tuned) {
    return tuned.input && tuned.input->format().needs_calibration();
  });
}

void RoundingStates::observe(const model::Projection& projection, const at::Tensor& x) {
  TunedProjection* tuned = find(projection);
  if (tuned != nullptr && tuned->input) tuned->input->observe(x);
}

void RoundingStates::finish_calibration() {
  for (TunedProjection& tuned : projections_)
    if (tuned.input) tuned.input->finish_calibration();
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
    if (tuned.input) tuned.input->use(weight->input);
    for (const auto& part : tuned.parts) {
      Expects(weight != weights.end() && weight->name == part.name);
      at::Tensor& projected = tuned.projection->weight;
      projected.narrow(0, part.row, part.rows).copy_(quant::dequantize(*weight++, projected.scalar_type()));
    }
  }
}

void RoundingStates::apply_gradient(TunedProjection& tuned, const at::Tensor& output_gradient, const at::Tensor& input,
                                    model::LinearProducts& products) {
  const bool accumulates = !(pass_.first && pass_.last);
  std::vector<quant::SignedStep> steps;
  for (auto& part : tuned.parts) {
    if (pass_.last) steps.emplace_back(part.state, part.rates.current(), pass_.is_best, fused_);
  }
  products.weight_gradient(output_gradient, input, [&](std::int64_t first, const at::Tensor& rows) {
    at::Tensor gradient = rows;
    if (accumulates) {
      // Each micro-batch's gradient is rounded to the compute type, as a lone one is, and the sum is kept in fp32.
      at::Tensor sum = tuned.gradient_sum.narrow(0, first, rows.size(0));
      pass_.first ? sum.copy_(rows) : sum.add_(rows);
      if (pass_.last) gradient = sum.to(rows.scalar_type());
    }
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const auto& part = tuned.parts[i];
      const auto begin = std::max(first, part.row), end = std::min(first + rows.size(0), part.row + part.rows);
      if (begin < end) steps[i].rows(begin - part.row, gradient.narrow(0, begin - first, end - begin));
    }
  });
  for (auto& step : steps) step.finish();
  if (pass_.last && tuned.input && tuned.input->trains()) {
    if (pass_.is_best) tuned.input->keep_best();
    tuned.input->step(tuned.parts.front().rates.current().minmax);
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
      auto untuned = quant::make_rounding_state(state.format, state.weight, state.tune_minmax, false);
      untuned.global_scale = state.global_scale;
      weights.push_back(quant::quantize(untuned, part.name));
      if (tuned.input) weights.back().input = tuned.input->untuned();
    }
  }
  return weights;
}

std::vector<quant::QuantizedWeight> RoundingStates::best() const {
  std::vector<quant::QuantizedWeight> weights;
  for (const auto& tuned : projections_) {
    for (const auto& part : tuned.parts) {
      weights.push_back(quant::best(part.state, part.name));
      if (tuned.input) weights.back().input = tuned.input->best();
    }
  }
  return weights;
}

}  // namespace autoround::tuner
