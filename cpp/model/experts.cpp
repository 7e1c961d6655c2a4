#include "model/experts.hpp"

#include <ATen/ATen.h>

#include <limits>
#include <optional>
#include <utility>

#include "model/autograd_names.hpp"
#include "model/elementwise.hpp"
#include "model/kept_pool.hpp"
#include "model/mapped_memory.hpp"
#include "model/token_groups.hpp"

namespace autoround::model {
namespace {

constexpr double smallest_sum = 1e-20;  // of weights that are divided by their sum

/// True for the experts outside the best groups. [T, experts]
at::Tensor outside_best_groups(const RouterSpec& spec, const at::Tensor& scores) {
  const at::Tensor grouped = scores.view({scores.size(0), spec.groups, spec.experts / spec.groups});
  const at::Tensor worth = std::get<0>(grouped.topk(spec.group_best, -1)).sum(-1);
  const at::Tensor best = std::get<1>(worth.topk(spec.top_groups, -1));
  const at::Tensor outside = at::ones_like(worth, at::kBool).scatter_(1, best, false);
  return outside.unsqueeze(-1).expand_as(grouped).reshape(scores.sizes());
}

/// Decisions are data: no gradient passes through them.
at::Tensor choose(const RouterSpec& spec, at::Tensor scores, const at::Tensor& correction) {
  const at::NoGradGuard no_grad;
  if (spec.correction) scores = scores + correction;
  if (spec.top_groups < spec.groups)
    scores = scores.masked_fill(outside_best_groups(spec, scores), -std::numeric_limits<double>::infinity());
  return std::get<1>(scores.topk(spec.top_k, -1));
}

/// x Wᵀ + b in the type of the weight, which gets no gradient.
struct RouterLogits : Function<RouterLogits> {
  static Variable forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                          const std::optional<at::Tensor>& bias, const Pool& pool) {
    ctx->save_for_backward({weight});
    ctx->saved_data["type"] = static_cast<std::int64_t>(x.scalar_type());
    keep_pool(ctx, pool);
    ctx->set_materialize_grads(false);
    return at::linear(in_type(x, weight.scalar_type(), *pool), weight, bias);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    if (!gradients[0].defined()) return {Variable(), Variable(), Variable(), Variable()};
    const at::Tensor weight = ctx->get_saved_variables()[0];
    const Pool pool = kept_pool(ctx);
    at::Tensor of_x = pool->take({gradients[0].size(0), weight.size(1)}, weight.options());
    at::mm_out(of_x, gradients[0], weight);
    const auto type = static_cast<at::ScalarType>(ctx->saved_data["type"].toInt());
    return {in_type(of_x, type, *pool), Variable(), Variable(), Variable()};
  }

 private:
  static at::Tensor in_type(const at::Tensor& x, at::ScalarType type, BufferPool& pool) {
    if (x.scalar_type() == type) return x;
    at::Tensor y = pool.take(x.sizes(), x.options().dtype(type));
    copy_into(y, x);
    return y;
  }
};

}  // namespace

Routing route(const RouterSpec& spec, const at::Tensor& logits, const at::Tensor& correction) {
  using Scores = RouterSpec::Scores;
  at::Tensor scores = logits.to(at::kFloat);
  if (spec.scores == Scores::softmax) scores = scores.softmax(-1);
  if (spec.scores == Scores::sigmoid) scores = scores.sigmoid();
  Routing routing;
  routing.experts = choose(spec, scores, correction);
  at::Tensor weights = scores.gather(1, routing.experts);
  if (spec.scores == Scores::softmax_of_chosen) weights = weights.softmax(-1);
  if (spec.normalize) weights = weights / (weights.sum(-1, /*keepdim=*/true) + smallest_sum);
  if (spec.scaling != 1.0) weights = weights * spec.scaling;
  routing.weights = spec.rounded ? weights.to(logits.scalar_type()) : weights;
  return routing;
}

std::unique_ptr<Experts> Experts::load(const ExpertsSpec& spec, const MlpSpec& mlp, const std::string& layer,
                                       std::int64_t hidden, const WeightSource& weights, at::ScalarType dtype) {
  auto experts = std::make_unique<Experts>();
  experts->spec_ = spec;
  experts->activation_ = mlp.activation;
  const std::string block = layer + "." + spec.block + ".", router = block + spec.gate;
  const RouterSpec& rules = spec.router;

  const auto vector = [&](const std::string& name, at::IntArrayRef shape, at::ScalarType type) {
    at::Tensor tensor = weights.memory(shape, type);
    weights.load_into(name, tensor);
    return tensor;
  };
  const at::ScalarType router_type = rules.wide ? at::kFloat : dtype;
  experts->router_ = vector(router + ".weight", {rules.experts, hidden}, router_type);
  if (rules.bias) experts->router_bias_ = vector(router + ".bias", {rules.experts}, router_type);
  if (rules.correction) experts->correction_ = vector(router + ".e_score_correction_bias", {rules.experts}, at::kFloat);

  const auto network = [&](const std::string& module, std::int64_t width, bool bias, at::Tensor gate_up = {},
                           at::Tensor down = {}) {
    return Network{load_projection(weights,
                                   {{.name = module + "." + spec.gate_proj, .rows = width},
                                    {.name = module + "." + spec.up_proj, .rows = width}},
                                   hidden, bias, dtype, std::move(gate_up)),
                   load_projection(weights, {{.name = module + "." + spec.down_proj, .rows = hidden}}, width, bias,
                                   dtype, std::move(down))};
  };
  const auto stack = [&](std::int64_t rows, std::int64_t columns) {
    return lasting_tensor({rules.experts, rows, columns}, dtype, weights.device());
  };
  const at::Tensor gate_ups = stack(2 * spec.intermediate, hidden), downs = stack(hidden, spec.intermediate);
  for (std::int64_t i = 0; i < rules.experts; ++i) {
    Network& expert = experts->experts_.emplace_back(network(block + "experts." + std::to_string(i), spec.intermediate,
                                                             /*bias=*/spec.stacked, gate_ups[i], downs[i]));
    expert.gate_up.expert_role = "gate_up";
    expert.gate_up.stack = gate_ups;
    expert.down.expert_role = "down";
    expert.down.stack = downs;
  }
  for (const Network& expert : experts->experts_) {
    experts->gate_ups_.push_back(&expert.gate_up);
    experts->downs_.push_back(&expert.down);
  }
  if (spec.shared_intermediate > 0)
    experts->shared_ = std::make_unique<Network>(network(block + spec.shared, spec.shared_intermediate, mlp.bias));
  if (spec.shared_gate) experts->shared_gate_ = vector(block + "shared_expert_gate.weight", {1, hidden}, dtype);
  return experts;
}

std::vector<Projection*> Experts::projections() {
  std::vector<Projection*> all;
  for (Network& expert : experts_) all.insert(all.end(), {&expert.gate_up, &expert.down});
  if (shared_) all.insert(all.end(), {&shared_->gate_up, &shared_->down});
  return all;
}

at::Tensor Experts::logits(const at::Tensor& x) const {
  return RouterLogits::apply(x, router_, router_bias_.defined() ? std::optional(router_bias_) : std::nullopt, pool_);
}

at::Tensor Experts::run(const Network& network, const at::Tensor& x, Ops& ops) const {
  return ops.linear(network.down, ops.gated_activation(ops.linear(network.gate_up, x), activation_));
}

at::Tensor Experts::run_routed(const at::Tensor& x, const Routing& routing, Ops& ops) const {
  const TokenGroups groups(routing.experts, spec_.router.experts, pool_);
  std::vector<at::Tensor> outputs;
  if (ops.groups(gate_ups_) && ops.groups(downs_)) {
    const at::Tensor gate_up = ops.grouped_linear(gate_ups_, groups.rows(), groups.spread(x));
    outputs.push_back(ops.grouped_linear(downs_, groups.rows(), ops.gated_activation(gate_up, activation_)));
  } else {
    for (const auto& [expert, rows] : groups.split(x))
      outputs.push_back(run(experts_[static_cast<std::size_t>(expert)], rows, ops));
  }
  return groups.combine(outputs, routing.weights);
}

at::Tensor Experts::forward(const at::Tensor& x, Ops& ops) const {
  const Routing routing = route(spec_.router, logits(x), correction_);
  ops.routed(this, routing.experts, spec_.router.experts);
  const at::Tensor routed = run_routed(x, routing, ops);
  if (!shared_) return routed;
  const at::Tensor shared = run(*shared_, x, ops);
  return sum_with(routed, shared_gate_.defined() ? at::sigmoid(at::linear(x, shared_gate_)) * shared : shared);
}

}  // namespace autoround::model
