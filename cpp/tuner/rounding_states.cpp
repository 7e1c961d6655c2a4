#include "tuner/rounding_states.hpp"

#include <algorithm>
#include <cmath>
#include <gsl/assert>
#include <utility>

#include "base/error.hpp"
#include "model/mapped_memory.hpp"
#include "quant/scale_search.hpp"
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

/// One signed step of all parts of a projection, from its gradient in blocks of rows.
class ProjectionStep {
 public:
  ProjectionStep(TunedProjection& tuned, bool is_best, bool fused) : tuned_(tuned), is_best_(is_best) {
    for (auto& part : tuned.parts) steps_.emplace_back(part.state, part.rates.current(), is_best, fused);
  }
  /// Rows [first, first + gradient.size(0)) of the projection; threads may bring rows of their own at once.
  void rows(std::int64_t first, const at::Tensor& gradient) {
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const auto& part = tuned_.parts[i];
      const auto begin = std::max(first, part.row), end = std::min(first + gradient.size(0), part.row + part.rows);
      if (begin < end) steps_[i].rows(begin - part.row, gradient.narrow(0, begin - first, end - begin));
    }
  }
  void finish() {
    for (auto& step : steps_) step.finish();
    if (!tuned_.input || !tuned_.input->trains()) return;
    if (is_best_) tuned_.input->keep_best();
    tuned_.input->step(tuned_.parts.front().rates.current().minmax);
  }

 private:
  TunedProjection& tuned_;
  bool is_best_;
  std::vector<quant::SignedStep> steps_;
};

/// W' of experts by the stack that their originals are in, which those keep alive.
using Stacks = std::map<const void*, at::Tensor>;

/// Gives the projection memory for W': in a stack if its weight is in one.
void make_twin(model::Projection& projection, Stacks& stacks) {
  const auto like = [](const at::Tensor& x) { return model::lasting_tensor(x.sizes(), x.scalar_type(), x.device()); };
  if (!projection.stack.defined()) {
    projection.weight = like(projection.weight);
    return;
  }
  const std::int64_t place = projection.weight.storage_offset() - projection.stack.storage_offset();
  at::Tensor& stack = stacks[projection.stack.const_data_ptr()];
  if (!stack.defined()) stack = like(projection.stack);
  projection.weight = stack[place / projection.weight.numel()];
  projection.stack = stack;
}

void keep_best(TunedProjection& tuned) {
  for (auto& part : tuned.parts) quant::keep_best(part.state);
  if (tuned.input && tuned.input->trains()) tuned.input->keep_best();
}

}  // namespace

RoundingStates::RoundingStates(const std::vector<model::Projection*>& projections,
                               const std::map<std::string, quant::WeightFormat>& formats, const TuneOptions& options)
    : fused_(options.arithmetic.fused && options.momentum == 0.0) {
  const bool in_ticks = fused_ && options.iters > 0 && options.iters <= most_iterations_in_ticks;
  Stacks stacks;
  for (model::Projection* projection : projections) {
    const at::Tensor original = projection->weight;
    TunedProjection tuned{.projection = projection, .parts = {}, .gradient_sum = {}, .input = {}};
    for (const auto& part : projection->parts) {
      const auto format = formats.find(part.name);
      if (format == formats.end()) continue;
      const LayerRates rates(options, format->second.bits);
      std::optional<float> tick;
      if (in_ticks && std::isnormal(rates.tick())) tick = rates.tick();
      quant::RoundingState state =
          quant::make_rounding_state(format->second, original.narrow(0, part.row, part.rows),
                                     options.enable_minmax_tuning, /*trainable=*/options.iters > 0, tick);
      if (options.momentum != 0.0) quant::add_momentum(state, options.momentum);
      tuned.parts.push_back({part.name, part.row, part.rows, std::move(state), rates});
      set_input(tuned, part.name, format->second, options.iters > 0 && options.enable_minmax_tuning);
    }
    has_experts_ = has_experts_ || !projection->expert_role.empty();
    if (tuned.parts.empty()) continue;
    if (tuned.input && tuned.parts.size() < projection->parts.size())
      fail(Code::unsupported, tuned.parts.front().name,
           "its input is quantized, and also that of a linear layer that is not: quantize all of q_proj, k_proj and "
           "v_proj, and both of gate_proj and up_proj");
    std::vector<quant::RoundingState*> states;
    for (TunedPart& part : tuned.parts) states.push_back(&part.state);
    quant::share_global_scale(states);
    make_twin(*projection, stacks);
    projection->weight.copy_(original);  // rows that are not quantized stay as they are
    if (options.step_samples() > options.pass_samples())
      tuned.gradient_sum = model::lasting_tensor(original.sizes(), at::kFloat, original.device());
    projections_.push_back(std::move(tuned));
  }
}

TunedProjection* RoundingStates::find(const model::Projection& projection) noexcept {
  for (auto& tuned : projections_) {
    if (tuned.projection == &projection) return &tuned;
  }
  return nullptr;
}

void RoundingStates::search_scales(const Importance& importance, const TuneOptions& options) {
  for (auto& tuned : projections_) {
    for (auto& part : tuned.parts) {
      if (!searches_scales(part.name, part.state.format, options)) continue;
      const auto found = importance.find(part.name);
      quant::search_scales(part.state, found == importance.end() ? at::Tensor() : found->second);
      searched_ = true;
      drops_outliers_ = drops_outliers_ || tuner::drops_outliers(part.name, part.state.format, options);
    }
  }
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
  std::map<std::string, float> largest;  // by role
  for (const TunedProjection& tuned : projections_)
    if (tuned.input) {
      float& of_role = largest[tuned.projection->expert_role];
      of_role = std::max(of_role, tuned.input->largest());
    }
  for (TunedProjection& tuned : projections_) {
    if (!tuned.input) continue;
    const std::string& role = tuned.projection->expert_role;
    if (!tuned.input->observed() && !role.empty()) tuned.input->take_over(largest.at(role));
    tuned.input->finish_calibration();
  }
}

void RoundingStates::write_weights() {
  std::vector<quant::QdqForward> stale;
  for (auto& tuned : projections_) {
    if (std::exchange(tuned.weight_is_current, true)) continue;
    for (auto& part : tuned.parts)
      stale.push_back({&part.state, tuned.projection->weight.narrow(0, part.row, part.rows)});
  }
  quant::qdq_forward(stale, fused_);
}

void RoundingStates::write_weights(const std::vector<quant::QuantizedWeight>& weights) {
  auto weight = weights.begin();
  for (auto& tuned : projections_) {
    tuned.weight_is_current = false;
    if (tuned.input) tuned.input->use(weight->input);
    for (const auto& part : tuned.parts) {
      Expects(weight != weights.end() && weight->name == part.name);
      quant::dequantize_into(*weight++, tuned.projection->weight.narrow(0, part.row, part.rows));
    }
  }
}

void RoundingStates::apply_gradient(TunedProjection& tuned, const at::Tensor& output_gradient, const at::Tensor& input,
                                    model::LinearProducts& products) {
  take_gradient(tuned, [&](const auto& take) { products.weight_gradient(output_gradient, input, take); });
}

void RoundingStates::apply_gradients(const std::vector<std::pair<TunedProjection*, at::Tensor>>& gradients) {
  std::vector<quant::QdqUpdate> steps;
  for (const auto& [tuned, own] : gradients) {
    Expects(!tuned->input || !tuned->input->trains());
    const at::Tensor gradient = summed(*tuned, 0, own);
    tuned->has_gradient = !pass_.last;
    tuned->stepped = pass_.last;
    if (!pass_.last) continue;
    for (auto& part : tuned->parts)
      steps.push_back({&part.state, gradient.narrow(0, part.row, part.rows), part.rates.current()});
  }
  quant::qdq_update(steps, pass_.is_best, fused_);
}

/// What the step takes of rows from `first` on: those of this pass, or with those of earlier ones, which are added up.
at::Tensor RoundingStates::summed(TunedProjection& tuned, std::int64_t first, const at::Tensor& rows) {
  if (pass_.first && pass_.last) return rows;
  // Each micro-batch's gradient is rounded to the compute type, as a lone one is, and the sum is kept in fp32.
  at::Tensor sum = tuned.gradient_sum.narrow(0, first, rows.size(0));
  tuned.has_gradient ? sum.add_(rows) : sum.copy_(rows);
  return pass_.last ? sum.to(rows.scalar_type()) : at::Tensor();
}

void RoundingStates::take_gradient(TunedProjection& tuned, const Compute& compute) {
  std::optional<ProjectionStep> step;
  if (pass_.last) step.emplace(tuned, pass_.is_best, fused_);
  compute([&](std::int64_t first, const at::Tensor& rows) {
    const at::Tensor gradient = summed(tuned, first, rows);
    if (step) step->rows(first, gradient);
  });
  if (step) step->finish();
  tuned.has_gradient = !step.has_value();
  tuned.stepped = step.has_value();
}

void RoundingStates::finish_step() {
  for (auto& tuned : projections_) {
    if (tuned.has_gradient) {
      ProjectionStep step(tuned, pass_.is_best, fused_);
      step.rows(0, tuned.gradient_sum.to(tuned.projection->weight.scalar_type()));
      step.finish();
      tuned.stepped = true;
    } else if (!tuned.stepped && pass_.is_best && !std::exchange(tuned.best_is_current, true)) {
      keep_best(tuned);
    }
    if (tuned.stepped) tuned.weight_is_current = tuned.best_is_current = false;
    tuned.has_gradient = tuned.stepped = false;
  }
}

void RoundingStates::abandon_step() noexcept {
  for (auto& tuned : projections_) tuned.weight_is_current = tuned.has_gradient = tuned.stepped = false;
}

void RoundingStates::advance() {
  for (auto& tuned : projections_) {
    for (auto& part : tuned.parts) part.rates.advance();
  }
}

bool RoundingStates::can_record() const noexcept {
  // How many tokens go to an expert, tuned or not, is known only to the host, and trained scales of inputs are there.
  return fused_ && !drops_outliers_ && !has_experts_ &&
         std::none_of(projections_.begin(), projections_.end(),
                      [](const TunedProjection& tuned) { return tuned.input && tuned.input->trains(); });
}

void RoundingStates::record(const device::Progress* progress, std::int64_t iterations) {
  for (auto& tuned : projections_) {
    for (auto& part : tuned.parts) {
      rate_tables_.push_back(part.rates.table(iterations).to(part.state.weight.device()));
      part.state.recorded = {progress, rate_tables_.back().const_data_ptr<float>()};
    }
  }
}

void RoundingStates::end_record() noexcept {
  for (auto& tuned : projections_) {
    for (auto& part : tuned.parts) part.state.recorded = {};
  }
  rate_tables_.clear();
}

std::vector<quant::QuantizedWeight> RoundingStates::nearest() const { return round(/*searched=*/false); }
std::vector<quant::QuantizedWeight> RoundingStates::rounded() const { return round(/*searched=*/true); }

std::vector<quant::QuantizedWeight> RoundingStates::round(bool searched) const {
  std::vector<quant::QuantizedWeight> weights;
  for (const auto& tuned : projections_) {
    for (const auto& part : tuned.parts) {
      weights.push_back(quant::quantize(quant::untuned(part.state, searched), part.name));
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
