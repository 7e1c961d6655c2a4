// FusedOps but for attention: norms and activations are one autograd Function each, over the row kernels.
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <optional>

#include "model/autograd_names.hpp"
#include "model/elementwise.hpp"
#include "model/kept_pool.hpp"
#include "model/ops.hpp"
#include "model/row_loops.hpp"

namespace autoround::model {
namespace {

/// Whether the kernels take such a weight for such an x.
bool has_type_for(const at::Tensor& weight, const at::Tensor& x) {
  return weight.scalar_type() == x.scalar_type() || weight.scalar_type() == at::kFloat;
}
bool fits(const at::Tensor& weight, const at::Tensor& x) {
  return has_type_for(weight, x) && weight.numel() == x.size(-1);
}
/// One for all rows, or for each of the heads that rows are.
bool fits_heads(const at::Tensor& weight, const at::Tensor& x) {
  const bool of_heads = weight.dim() == 2 && x.dim() > 2 && weight.size(0) == x.size(-2);
  return has_type_for(weight, x) && weight.size(-1) == x.size(-1) && (weight.dim() == 1 || of_heads);
}

std::int64_t rows_of(const at::Tensor& x) { return x.size(-1) == 0 ? 0 : x.numel() / x.size(-1); }

at::Tensor rms_norm_gradient(AutogradContext* ctx, const at::Tensor& grad_y, const at::Tensor& grad_h) {
  const variable_list saved = ctx->get_saved_variables();
  const at::Tensor &h = saved[0], &weight = saved[1];
  const at::Tensor dense_y = grad_y.contiguous(), dense_h = grad_h.defined() ? grad_h.contiguous() : at::Tensor();
  at::Tensor grad_x = kept_pool(ctx)->take_like(h);
  kernels::RmsNormBackward a;
  a.h = h.const_data_ptr();
  a.weight = weight.const_data_ptr();
  a.grad_y = dense_y.const_data_ptr();
  a.grad_h = dense_h.defined() ? dense_h.const_data_ptr() : nullptr;
  a.grad_x = grad_x.mutable_data_ptr();
  a.width = h.size(-1);
  a.eps = static_cast<float>(ctx->saved_data["eps"].toDouble());
  a.wide_weight = weight.scalar_type() == at::kFloat;
  run_rows(row_kernels(h).rms_norm_backward, a, rows_of(h));
  return grad_x;
}

/// Rows one after the other.
at::Tensor dense(const at::Tensor& x, BufferPool& pool) {
  if (x.is_contiguous()) return x;
  at::Tensor copy = pool.take_like(x);
  copy_into(copy, x);
  return copy;
}

struct RmsNormFunction : Function<RmsNormFunction> {
  static Variable forward(AutogradContext* ctx, const at::Tensor& given, const at::Tensor& weight, double eps,
                          const Pool& pool) {
    const at::Tensor x = dense(given, *pool);
    at::Tensor y = pool->take_like(x);
    kernels::RmsNormForward a;
    a.x = x.const_data_ptr();
    a.weight = weight.const_data_ptr();
    a.y = y.mutable_data_ptr();
    a.width = x.size(-1);
    a.eps = static_cast<float>(eps);
    a.wide_weight = weight.scalar_type() == at::kFloat;
    run_rows(row_kernels(x).rms_norm_forward, a, rows_of(x));
    ctx->save_for_backward({x, weight});
    ctx->saved_data["eps"] = eps;
    keep_pool(ctx, pool);
    ctx->set_materialize_grads(false);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    if (!grads[0].defined()) return {Variable(), Variable(), Variable(), Variable()};
    return {rms_norm_gradient(ctx, grads[0], at::Tensor()), Variable(), Variable(), Variable()};
  }
};

struct AddRmsNormFunction : Function<AddRmsNormFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& delta,
                               const at::Tensor& weight, double eps, const Pool& pool) {
    at::Tensor h = pool->take_like(x), y = pool->take_like(x);
    kernels::RmsNormForward a;
    a.x = x.const_data_ptr();
    a.delta = delta.const_data_ptr();
    a.weight = weight.const_data_ptr();
    a.h = h.mutable_data_ptr();
    a.y = y.mutable_data_ptr();
    a.width = x.size(-1);
    a.eps = static_cast<float>(eps);
    a.wide_weight = weight.scalar_type() == at::kFloat;
    run_rows(row_kernels(x).rms_norm_forward, a, rows_of(x));
    ctx->save_for_backward({h, weight});
    ctx->saved_data["eps"] = eps;
    keep_pool(ctx, pool);
    ctx->set_materialize_grads(false);
    return {h, y};
  }

  /// x and delta have the same gradient: what reaches h, directly and through the norm.
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const at::Tensor grad = grads[1].defined() ? rms_norm_gradient(ctx, grads[1], grads[0]) : grads[0];
    return {grad, grad, Variable(), Variable(), Variable()};
  }
};

const kernels::ActivationKernels* activation_kernels(const at::Tensor& x, Activation activation) {
  const kernels::RowKernels& rows = row_kernels(x);
  switch (activation) {
    case Activation::silu:
      return &rows.silu;
    case Activation::gelu:
      return &rows.gelu;
    case Activation::gelu_tanh:
      return &rows.gelu_tanh;
    case Activation::relu:
      return &rows.relu;
    case Activation::clamped_swiglu:
      return nullptr;
  }
  return nullptr;
}

struct LayerNormFunction : Function<LayerNormFunction> {
  static Variable forward(AutogradContext* ctx, const at::Tensor& given, const std::optional<at::Tensor>& weights,
                          const std::optional<at::Tensor>& biases, double eps, const Pool& pool) {
    const at::Tensor x = dense(given, *pool), weight = weights.value_or(at::Tensor()),
                     bias = biases.value_or(at::Tensor());
    at::Tensor y = pool->take_like(x);
    kernels::LayerNormForward a;
    a.x = x.const_data_ptr();
    a.weight = weight.defined() ? weight.const_data_ptr() : nullptr;
    a.bias = bias.defined() ? bias.const_data_ptr() : nullptr;
    a.y = y.mutable_data_ptr();
    a.width = x.size(-1);
    a.weight_rows = weight_rows(weight);
    a.eps = static_cast<float>(eps);
    a.wide_weight = weight.defined() && weight.scalar_type() == at::kFloat;
    run_rows(row_kernels(x).layer_norm_forward, a, rows_of(x));
    ctx->save_for_backward({x, weight});
    ctx->saved_data["eps"] = eps;
    keep_pool(ctx, pool);
    ctx->set_materialize_grads(false);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    if (!grads[0].defined()) return {Variable(), Variable(), Variable(), Variable(), Variable()};
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], grad_y = grads[0].contiguous();
    at::Tensor grad_x = kept_pool(ctx)->take_like(x);
    kernels::LayerNormBackward a;
    a.x = x.const_data_ptr();
    a.weight = weight.defined() ? weight.const_data_ptr() : nullptr;
    a.grad_y = grad_y.const_data_ptr();
    a.grad_x = grad_x.mutable_data_ptr();
    a.width = x.size(-1);
    a.weight_rows = weight_rows(weight);
    a.eps = static_cast<float>(ctx->saved_data["eps"].toDouble());
    a.wide_weight = weight.defined() && weight.scalar_type() == at::kFloat;
    run_rows(row_kernels(x).layer_norm_backward, a, rows_of(x));
    return {grad_x, Variable(), Variable(), Variable(), Variable()};
  }

 private:
  static std::int64_t weight_rows(const at::Tensor& weight) {
    return weight.defined() ? std::max<std::int64_t>(1, rows_of(weight)) : 1;
  }
};

struct ActivationFunction : Function<ActivationFunction> {
  static Variable forward(AutogradContext* ctx, const at::Tensor& x, Activation activation, bool gated,
                          const Pool& pool) {
    auto sizes = x.sizes().vec();
    if (gated) sizes.back() /= 2;
    at::Tensor y = pool->take(sizes, x.options());
    const kernels::ActivationKernels& kernels = *activation_kernels(x, activation);
    kernels::ActivationForward a;
    a.x = x.const_data_ptr();
    a.y = y.mutable_data_ptr();
    a.width = sizes.back();
    run_rows(gated ? kernels.gated_forward : kernels.forward, a, rows_of(y));
    ctx->save_for_backward({x});
    ctx->saved_data["activation"] = static_cast<std::int64_t>(activation);
    ctx->saved_data["gated"] = gated;
    keep_pool(ctx, pool);
    ctx->set_materialize_grads(false);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    if (!grads[0].defined()) return {Variable(), Variable(), Variable(), Variable()};
    const at::Tensor x = ctx->get_saved_variables()[0], grad_y = grads[0].contiguous();
    const auto activation = static_cast<Activation>(ctx->saved_data["activation"].toInt());
    const kernels::ActivationKernels& kernels = *activation_kernels(x, activation);
    at::Tensor grad_x = kept_pool(ctx)->take_like(x);
    kernels::ActivationBackward a;
    a.x = x.const_data_ptr();
    a.grad_y = grad_y.const_data_ptr();
    a.grad_x = grad_x.mutable_data_ptr();
    a.width = grad_y.size(-1);
    run_rows(ctx->saved_data["gated"].toBool() ? kernels.gated_backward : kernels.backward, a, rows_of(grad_y));
    return {grad_x, Variable(), Variable(), Variable()};
  }
};

}  // namespace

/// Iterations repeat the same sizes, and so do the parts of a pass, in other ones.
const c10::intrusive_ptr<BufferPool>& FusedOps::pool() const { return at::GradMode::is_enabled() ? pool_ : pass_; }

at::Tensor FusedOps::linear(const Projection& projection, const at::Tensor& x) {
  // Where x needs a gradient LibTorch's own operation records one; the tuner replaces the linears it trains anyway.
  if (x.dim() != 2 || (at::GradMode::is_enabled() && x.requires_grad())) return AtenOps::linear(projection, x);
  at::Tensor y = pool()->take({x.size(0), projection.weight.size(0)}, x.options());
  products_.forward(y, x, projection.weight, projection.bias);
  return y;
}

at::Tensor FusedOps::rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  if (!has_row_kernels(x) || !fits(weight, x)) return AtenOps::rms_norm(x, weight, eps);
  return RmsNormFunction::apply(x, weight.contiguous(), eps, pool());
}

std::pair<at::Tensor, at::Tensor> FusedOps::add_rms_norm(const at::Tensor& x, const at::Tensor& delta,
                                                         const at::Tensor& weight, double eps) {
  if (!has_row_kernels(x) || !fits(weight, x) || delta.scalar_type() != x.scalar_type()) {
    return AtenOps::add_rms_norm(x, delta, weight, eps);
  }
  variable_list results =
      AddRmsNormFunction::apply(x.contiguous(), delta.contiguous(), weight.contiguous(), eps, pool());
  return {std::move(results[0]), std::move(results[1])};
}

at::Tensor FusedOps::layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) {
  const bool alike = !bias.defined() ||
                     (weight.defined() && bias.scalar_type() == weight.scalar_type() && bias.sizes() == weight.sizes());
  if (!has_row_kernels(x) || !alike || (weight.defined() && !fits_heads(weight, x)))
    return AtenOps::layer_norm(x, weight, bias, eps);
  const auto whole = [](const at::Tensor& t) { return t.defined() ? std::optional(t.contiguous()) : std::nullopt; };
  return LayerNormFunction::apply(x, whole(weight), whole(bias), eps, pool());
}

at::Tensor FusedOps::activation(const at::Tensor& x, Activation activation) {
  if (!has_row_kernels(x) || activation_kernels(x, activation) == nullptr) return AtenOps::activation(x, activation);
  return ActivationFunction::apply(x.contiguous(), activation, /*gated=*/false, pool());
}

at::Tensor FusedOps::gated_activation(const at::Tensor& gate_up, Activation activation) {
  if (!has_row_kernels(gate_up) || activation_kernels(gate_up, activation) == nullptr) {
    return AtenOps::gated_activation(gate_up, activation);
  }
  return ActivationFunction::apply(gate_up.contiguous(), activation, /*gated=*/true, pool());
}

}  // namespace autoround::model
