#include "tuner/quant_ops.hpp"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <algorithm>

namespace autoround::tuner {
namespace {

/// Backward of y = x W'ᵀ. A node of its own rather than an autograd::Function, which is not recorded when x needs no
/// gradient, as it is for q, k and v: their input is data, yet W' must learn.
struct QuantLinearBackward final : torch::autograd::Node {
  QuantLinearBackward(RoundingStates& rounding_states, TunedProjection& projection,
                      model::LinearProducts& linear_products, model::BufferPool& buffers, const at::Tensor& x,
                      at::Tensor rounded_x, model::Recompute x_again)
      : Node(torch::autograd::collect_next_edges(x)),
        states(rounding_states),
        tuned(projection),
        products(linear_products),
        pool(buffers),
        recompute(std::move(x_again)) {
    if (!recompute) input = std::move(rounded_x);
    if (tuned.input && tuned.input->trains()) unrounded = x;
  }

  std::string name() const override { return "QuantLinearBackward"; }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    const at::Tensor& output_gradient = gradients.front();
    const bool wanted = task_should_compute_output(0);
    if (recompute) input = recompute();
    if (!input.is_cpu() && !unrounded.defined()) {
      // On a device, whose memory is short: dW' first, so that the gradient of the input can take the input's place.
      // The step, of all parts at once, leaves W' as it is.
      products.weight_gradient(output_gradient, input, [&](std::int64_t, const at::Tensor& gradient) {
        states.apply_gradients({{&tuned, gradient}});
      });
      if (!wanted) return {at::Tensor()};
      at::Tensor of_input = is_last_to_hold_input() ? input.detach() : pool.take_like(input);
      products.input_gradient(of_input, output_gradient, tuned.projection->weight);
      return {std::move(of_input)};
    }
    at::Tensor input_gradient;
    if (wanted || unrounded.defined()) {
      input_gradient = pool.take_like(input);
      products.input_gradient(input_gradient, output_gradient, tuned.projection->weight);
    }
    if (unrounded.defined()) tuned.input->add_gradient(unrounded, input, input_gradient);
    states.apply_gradient(tuned, output_gradient, input, products);
    return {wanted ? input_gradient : at::Tensor()};
  }

  bool is_last_to_hold_input() const {
    return input.use_count() == 1 && input.storage().use_count() == 1 && input.is_contiguous();
  }

  void release_variables() override {
    input.reset();
    unrounded.reset();
    recompute = nullptr;
  }

  RoundingStates& states;
  TunedProjection& tuned;
  model::LinearProducts& products;
  model::BufferPool& pool;
  model::Recompute recompute;  // of the input; null: it is kept
  at::Tensor input;            // of the product
  at::Tensor unrounded;        // undefined unless the scale of the input is trained
};

/// The same of all experts of a layer at once. Those without rows have no gradient.
struct GroupedLinearBackward final : torch::autograd::Node {
  GroupedLinearBackward(RoundingStates& rounding_states, std::vector<TunedProjection*> projections,
                        model::ExpertRows expert_rows, const at::Tensor& x, at::Tensor weights)
      : Node(torch::autograd::collect_next_edges(x)),
        states(rounding_states),
        tuned(std::move(projections)),
        rows(std::move(expert_rows)),
        input(x),
        stack(std::move(weights)) {}

  std::string name() const override { return "GroupedLinearBackward"; }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    const at::NoGradGuard no_grad;
    const at::Tensor output_gradient = gradients.front().contiguous();
    const at::Tensor of_weights = model::grouped_weight_gradient(output_gradient, input, rows.ends);
    std::vector<std::pair<TunedProjection*, at::Tensor>> reached;
    for (std::size_t i = 0; i < tuned.size(); ++i)
      if (rows.counts[i] > 0) reached.emplace_back(tuned[i], of_weights[static_cast<std::int64_t>(i)]);
    states.apply_gradients(reached);
    if (!task_should_compute_output(0)) return {at::Tensor()};
    return {model::grouped_input_gradient(output_gradient, stack, rows.ends)};
  }

  void release_variables() override { input.reset(); }

  RoundingStates& states;
  std::vector<TunedProjection*> tuned;  // of each expert
  model::ExpertRows rows;
  at::Tensor input, stack;  // stack: W' of all experts
};

}  // namespace

bool QuantOps::groups(const model::ExpertProjections& experts) const {
  const auto grouped = [&](const model::Projection* expert) {
    const TunedProjection* tuned = states_.find(*expert);
    return tuned != nullptr && !tuned->input;
  };
  return inner().groups(experts) && std::all_of(experts.begin(), experts.end(), grouped);
}

at::Tensor QuantOps::grouped_linear(const model::ExpertProjections& experts, const model::ExpertRows& rows,
                                    const at::Tensor& x) {
  at::Tensor y;
  {
    const at::NoGradGuard no_grad;
    y = inner().grouped_linear(experts, rows, x);
  }
  if (!at::GradMode::is_enabled()) return y;
  std::vector<TunedProjection*> tuned;
  for (const model::Projection* expert : experts) tuned.push_back(states_.find(*expert));
  torch::autograd::set_history(
      y, std::make_shared<GroupedLinearBackward>(states_, std::move(tuned), rows, x, experts.front()->stack));
  return y;
}

at::Tensor QuantOps::linear(const model::Projection& projection, const at::Tensor& x) {
  TunedProjection* tuned = states_.find(projection);
  if (tuned == nullptr) return inner().linear(projection, x);
  const at::Tensor input = tuned->input ? tuned->input->quantize(x.detach().contiguous()) : x;
  if (!at::GradMode::is_enabled()) return inner().linear(projection, input);

  at::Tensor y = pool_.take({x.size(0), projection.weight.size(0)}, x.options());
  products_.forward(y, input, projection.weight, projection.bias);
  // An input that is rounded is no longer what was computed.
  torch::autograd::set_history(
      y, std::make_shared<QuantLinearBackward>(states_, *tuned, products_, pool_, x, input,
                                               tuned->input ? model::Recompute() : inner().recompute_of(x)));
  return y;
}

}  // namespace autoround::tuner
