#include "model/arrange.hpp"

#include <ATen/ATen.h>

#include "model/autograd_names.hpp"
#include "model/elementwise.hpp"

namespace autoround::model {
namespace {

struct Plan : torch::CustomClassHolder {
  Arrangement arrangement;
  std::vector<std::int64_t> output;               // sizes
  std::vector<std::vector<std::int64_t>> inputs;  // sizes of each
  c10::intrusive_ptr<BufferPool> pool;

  at::Tensor take(at::IntArrayRef sizes, const at::TensorOptions& options) const {
    return pool ? pool->take(sizes, options) : at::empty(sizes, options);
  }
};

/// What a view is expanded from.
at::Tensor unexpanded(at::Tensor view) {
  for (std::int64_t d = 0; d < view.dim(); ++d) {
    if (view.stride(d) == 0 && view.size(d) > 1) view = view.narrow(d, 0, 1);
  }
  return view;
}

void zero_unless_covered(const std::vector<at::Tensor>& tensors, std::int64_t covered) {
  for (const at::Tensor& tensor : tensors) covered -= tensor.numel();
  if (covered == 0) return;
  for (const at::Tensor& tensor : tensors) fill_with_zeros(tensor);
}

struct Arrange : Function<Arrange> {
  static Variable forward(AutogradContext* ctx, at::TensorList inputs, const c10::intrusive_ptr<Plan>& plan) {
    at::Tensor output = plan->take(plan->output, inputs.front().options());
    for (const at::Tensor& input : inputs) plan->inputs.push_back(input.sizes().vec());
    const Places places = plan->arrangement(inputs.vec(), output);
    std::int64_t covered = 0;
    for (const auto& [from, to] : places) covered += to.numel();
    zero_unless_covered({output}, covered);
    for (const auto& [from, to] : places) copy_into(to, from);
    ctx->saved_data["plan"] = c10::IValue::make_capsule(plan);
    ctx->set_materialize_grads(false);
    return output;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto plan = c10::static_intrusive_pointer_cast<Plan>(ctx->saved_data["plan"].toCapsule());
    variable_list gradients;
    if (!grads[0].defined()) {
      gradients.resize(plan->inputs.size() + 1);
      return gradients;
    }
    for (const auto& sizes : plan->inputs) gradients.push_back(plan->take(sizes, grads[0].options()));
    Places places = plan->arrangement(gradients, grads[0].contiguous());
    std::int64_t covered = 0;
    for (auto& [from, to] : places) {
      from = unexpanded(from);
      covered += from.numel();
    }
    zero_unless_covered(gradients, covered);
    for (const auto& [from, to] : places) copy_into(from, to.sum_to_size(from.sizes()));
    gradients.emplace_back();
    return gradients;
  }
};

}  // namespace

at::Tensor arrange(const std::vector<at::Tensor>& inputs, at::IntArrayRef sizes, const Arrangement& arrangement,
                   const c10::intrusive_ptr<BufferPool>& pool) {
  auto plan = c10::make_intrusive<Plan>();
  plan->arrangement = arrangement;
  plan->output = sizes.vec();
  plan->pool = pool;
  return Arrange::apply(at::TensorList(inputs), plan);
}

}  // namespace autoround::model
