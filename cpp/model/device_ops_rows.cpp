// Norms and gated activations on a CUDA device.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <utility>
#include <vector>

#include "base/error.hpp"
#include "model/autograd_names.hpp"
#include "model/device_ops.hpp"
#include "model/device_tensors.hpp"

namespace autoround::model {
namespace {

/// Whether the kernels take such a weight for such an x.
bool fits(const at::Tensor& weight, const at::Tensor& x) {
  return weight.defined() && weight.device() == x.device() && weight.numel() == x.size(-1) &&
         (weight.scalar_type() == x.scalar_type() || weight.scalar_type() == at::kFloat);
}

std::int64_t rows_of(const at::Tensor& x) { return x.size(-1) == 0 ? 0 : x.numel() / x.size(-1); }

/// delta, h: undefined for a norm of x itself.
void normalize(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps, const at::Tensor& h,
               const at::Tensor& y) {
  device::RmsNorm a;
  a.element = device::element_of(x);
  a.wide_weight = weight.scalar_type() != x.scalar_type();
  a.rows = rows_of(x);
  a.width = x.size(-1);
  a.eps = static_cast<float>(eps);
  a.x = data(x);
  a.delta = data(delta);
  a.weight = data(weight);
  a.h = h.defined() ? h.mutable_data_ptr() : nullptr;
  a.y = y.mutable_data_ptr();
  kernels_for(x).rms_norm(a);
}

at::Tensor rms_norm_gradient(AutogradContext* ctx, const at::Tensor& grad_y, const at::Tensor& grad_h) {
  const variable_list saved = ctx->get_saved_variables();
  const at::Tensor &h = saved[0], &weight = saved[1];
  const at::Tensor dense_y = grad_y.contiguous(), dense_h = grad_h.defined() ? grad_h.contiguous() : at::Tensor();
  at::Tensor grad_x = at::empty_like(h);
  device::RmsNormBackward a;
  a.element = device::element_of(h);
  a.wide_weight = weight.scalar_type() != h.scalar_type();
  a.rows = rows_of(h);
  a.width = h.size(-1);
  a.eps = static_cast<float>(ctx->saved_data["eps"].toDouble());
  a.h = data(h);
  a.weight = data(weight);
  a.grad_y = data(dense_y);
  a.grad_h = data(dense_h);
  a.grad_x = grad_x.mutable_data_ptr();
  kernels_for(h).rms_norm_backward(a);
  return grad_x;
}

struct RmsNormFunction : Function<RmsNormFunction> {
  static Variable forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight, double eps) {
    at::Tensor y = at::empty_like(x);
    normalize(x, {}, weight, eps, {}, y);
    ctx->save_for_backward({x, weight});
    ctx->saved_data["eps"] = eps;
    ctx->set_materialize_grads(false);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    if (!grads[0].defined()) return {Variable(), Variable(), Variable()};
    return {rms_norm_gradient(ctx, grads[0], at::Tensor()), Variable(), Variable()};
  }
};

struct AddRmsNormFunction : Function<AddRmsNormFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& delta,
                               const at::Tensor& weight, double eps) {
    at::Tensor h = at::empty_like(x), y = at::empty_like(x);
    normalize(x, delta, weight, eps, h, y);
    ctx->save_for_backward({h, weight});
    ctx->saved_data["eps"] = eps;
    ctx->set_materialize_grads(false);
    return {h, y};
  }

  /// x and delta have the same gradient: what reaches h, directly and through the norm.
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const at::Tensor grad = grads[1].defined() ? rms_norm_gradient(ctx, grads[1], grads[0]) : grads[0];
    return {grad, grad, Variable(), Variable()};
  }
};

/// Of an x that is kept: a backward pass needs it as well.
Recompute norm_again(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return [x = x.detach().contiguous(), weight = weight.contiguous(), eps] {
    at::Tensor y = at::empty_like(x);
    normalize(x, {}, weight, eps, {}, y);
    return y;
  };
}

device::Gate gate_of(Activation activation) {
  switch (activation) {
    case Activation::silu:
      return device::Gate::silu;
    case Activation::gelu:
      return device::Gate::gelu;
    case Activation::gelu_tanh:
      return device::Gate::gelu_tanh;
    case Activation::relu:
      return device::Gate::relu;
    case Activation::clamped_swiglu:
      return device::Gate::clamped_swiglu;
  }
  fail(Code::internal, "activation", "an activation has no kernel");
}

struct GatedFunction : Function<GatedFunction> {
  static Variable forward(AutogradContext* ctx, const at::Tensor& gate_up, Activation activation) {
    auto sizes = gate_up.sizes().vec();
    sizes.back() /= 2;
    at::Tensor y = at::empty(sizes, gate_up.options());
    device::GatedActivation a;
    a.element = device::element_of(gate_up);
    a.gate = gate_of(activation);
    a.rows = rows_of(y);
    a.width = sizes.back();
    a.gate_up = data(gate_up);
    a.y = y.mutable_data_ptr();
    kernels_for(gate_up).gated_activation(a);
    ctx->save_for_backward({gate_up});
    ctx->saved_data["activation"] = static_cast<std::int64_t>(activation);
    ctx->set_materialize_grads(false);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    if (!grads[0].defined()) return {Variable(), Variable()};
    const at::Tensor gate_up = ctx->get_saved_variables()[0], grad_y = grads[0].contiguous();
    // What a product made is looked at here for the last time: its gradient takes its place.
    at::Tensor grad = gate_up.is_leaf() ? at::empty_like(gate_up) : gate_up.detach();
    device::GatedActivationBackward a;
    a.element = device::element_of(gate_up);
    a.gate = gate_of(static_cast<Activation>(ctx->saved_data["activation"].toInt()));
    a.rows = rows_of(grad_y);
    a.width = grad_y.size(-1);
    a.gate_up = data(gate_up);
    a.grad_y = data(grad_y);
    a.grad_gate_up = grad.mutable_data_ptr();
    kernels_for(gate_up).gated_activation_backward(a);
    return {grad, Variable()};
  }
};

}  // namespace

at::Tensor DeviceOps::rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  if (!covered(x) || !fits(weight, x)) return AtenOps::rms_norm(x, weight, eps);
  at::Tensor y = RmsNormFunction::apply(x.contiguous(), weight.contiguous(), eps);
  if (x.requires_grad()) {
    set_recompute(y, norm_again(x, weight, eps));
  } else if (const Recompute x_again = recompute_of(x)) {
    set_recompute(y, [=] { return norm_again(x_again(), weight, eps)(); });
  }
  return y;
}

std::pair<at::Tensor, at::Tensor> DeviceOps::add_rms_norm(const at::Tensor& x, const at::Tensor& delta,
                                                          const at::Tensor& weight, double eps) {
  if (!covered(x) || !fits(weight, x) || delta.scalar_type() != x.scalar_type()) {
    return AtenOps::add_rms_norm(x, delta, weight, eps);
  }
  variable_list results = AddRmsNormFunction::apply(x.contiguous(), delta.contiguous(), weight.contiguous(), eps);
  if (results[0].requires_grad()) set_recompute(results[1], norm_again(results[0], weight, eps));
  return {std::move(results[0]), std::move(results[1])};
}

Recompute DeviceOps::recompute_of(const at::Tensor& x) {
  for (const Recomputed& entry : recomputed_)
    if (entry.result.lock().get() == x.unsafeGetTensorImpl() && entry.version == x._version()) return entry.recompute;
  return {};
}

void DeviceOps::set_recompute(const at::Tensor& x, Recompute recompute) {
  if (!at::GradMode::is_enabled()) return;
  std::erase_if(recomputed_, [](const Recomputed& entry) { return entry.result.expired(); });
  using Weak = decltype(Recomputed::result);
  recomputed_.push_back({Weak(x.getIntrusivePtr()), x._version(), std::move(recompute)});
}

at::Tensor DeviceOps::gated_activation(const at::Tensor& gate_up, Activation activation) {
  if (!covered(gate_up)) return AtenOps::gated_activation(gate_up, activation);
  return GatedFunction::apply(gate_up.contiguous(), activation);
}

}  // namespace autoround::model
