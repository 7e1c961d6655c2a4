#include "tuner/quant_ops.hpp"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

namespace autoround::tuner {
namespace {

/// Backward of y = x W'ᵀ. A node of its own rather than an autograd::Function, which is not recorded when x needs no
/// gradient, as it is for q, k and v: their input is data, yet W' must learn.
struct QuantLinearBackward final : torch::autograd::Node {
  QuantLinearBackward(RoundingStates& rounding_states, TunedProjection& projection,
                      model::LinearProducts& linear_products, model::BufferPool& buffers, const at::Tensor& x,
                      at::Tensor rounded_x)
      : Node(torch::autograd::collect_next_edges(x)),
        states(rounding_states),
        tuned(projection),
        products(linear_products),
        pool(buffers),
        input(std::move(rounded_x)) {
    if (tuned.input && tuned.input->trains()) unrounded = x;
  }

  std::string name() const override { return "QuantLinearBackward"; }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    const at::Tensor& output_gradient = gradients.front();
    at::Tensor input_gradient;
    if (task_should_compute_output(0) || unrounded.defined()) {
      input_gradient = pool.take(input.sizes(), input.scalar_type());
      products.input_gradient(input_gradient, output_gradient, tuned.projection->weight);
    }
    if (unrounded.defined()) tuned.input->add_gradient(unrounded, input, input_gradient);
    states.apply_gradient(tuned, output_gradient, input, products);
    return {task_should_compute_output(0) ? input_gradient : at::Tensor()};
  }

  void release_variables() override {
    input.reset();
    unrounded.reset();
  }

  RoundingStates& states;
  TunedProjection& tuned;
  model::LinearProducts& products;
  model::BufferPool& pool;
  at::Tensor input;      // of the product
  at::Tensor unrounded;  // undefined unless the scale of the input is trained
};

}  // namespace

at::Tensor QuantOps::linear(const model::Projection& projection, const at::Tensor& x) {
  TunedProjection* tuned = states_.find(projection);
  if (tuned == nullptr) return inner().linear(projection, x);
  const at::Tensor input = tuned->input ? tuned->input->quantize(x.detach().contiguous()) : x;
  if (!at::GradMode::is_enabled()) return inner().linear(projection, input);

  at::Tensor y = pool_.take({x.size(0), projection.weight.size(0)}, x.scalar_type());
  products_.forward(y, input, projection.weight, projection.bias);
  torch::autograd::set_history(y, std::make_shared<QuantLinearBackward>(states_, *tuned, products_, pool_, x, input));
  return y;
}

}  // namespace autoround::tuner
