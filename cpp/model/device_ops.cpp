#include "model/device_ops.hpp"

#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "base/error.hpp"
#include "device/device.hpp"

namespace autoround::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

bool covered(const at::Tensor& x) {
  return x.is_cuda() && (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kFloat);
}

/// Whether the kernels take such a weight for such an x.
bool fits(const at::Tensor& weight, const at::Tensor& x) {
  return weight.defined() && weight.device() == x.device() && weight.numel() == x.size(-1) &&
         (weight.scalar_type() == x.scalar_type() || weight.scalar_type() == at::kFloat);
}

const device::Kernels& kernels_for(const at::Tensor& x) { return device::kernels(x.device()); }

const void* data(const at::Tensor& x) { return x.defined() ? x.const_data_ptr() : nullptr; }

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

/// What the backward of TakeHeads needs beside qkv: the constants, and the tensors that their pointers point into.
struct HeadsPlan : torch::CustomClassHolder {
  device::Heads constants;
  at::Tensor cos, sin, q_norm, k_norm;
};

c10::intrusive_ptr<HeadsPlan> make_plan(const AttentionInput& input) {
  const AttentionSpec& spec = *input.spec;
  auto plan = c10::make_intrusive<HeadsPlan>();
  device::Heads& a = plan->constants;
  a.element = device::element_of(input.qkv);
  a.tokens = input.qkv.size(0);
  a.length = a.tokens / input.batch;
  a.heads = spec.heads;
  a.kv_heads = spec.kv_heads;
  a.dim = spec.head_dim;
  a.eps = static_cast<float>(input.norm_eps);
  if (input.rope != nullptr) {
    plan->cos = input.rope->cos.contiguous();
    plan->sin = input.rope->sin.contiguous();
    a.half = plan->cos.size(1);
    a.cos = plan->cos.const_data_ptr<float>();
    a.sin = plan->sin.const_data_ptr<float>();
  }
  if (input.q_norm.defined()) {
    plan->q_norm = input.q_norm.contiguous();
    plan->k_norm = input.k_norm.contiguous();
    a.q_norm = data(plan->q_norm);
    a.k_norm = data(plan->k_norm);
  }
  return plan;
}

/// qkv -> q, k, v: [B, S, heads, D] each, with norm and rope.
struct TakeHeads : Function<TakeHeads> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& qkv, const c10::intrusive_ptr<HeadsPlan>& plan) {
    device::Heads a = plan->constants;
    const std::int64_t batch = a.tokens / a.length;
    const auto part = [&](std::int64_t heads) { return at::empty({batch, a.length, heads, a.dim}, qkv.options()); };
    at::Tensor q = part(a.heads), k = part(a.kv_heads), v = part(a.kv_heads);
    a.qkv = data(qkv);
    a.q = q.mutable_data_ptr();
    a.k = k.mutable_data_ptr();
    a.v = v.mutable_data_ptr();
    kernels_for(qkv).heads(a);
    // A rotation is turned back without what it turned: only norms look at qkv again.
    ctx->save_for_backward({plan->q_norm.defined() ? qkv : at::Tensor()});
    ctx->saved_data["plan"] = c10::IValue::make_capsule(plan);
    ctx->set_materialize_grads(false);
    return {q, k, v};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto any = std::find_if(grads.begin(), grads.end(), [](const at::Tensor& grad) { return grad.defined(); });
    if (any == grads.end()) return {Variable(), Variable()};
    const variable_list saved = ctx->get_saved_variables();
    const auto plan = c10::static_intrusive_pointer_cast<HeadsPlan>(ctx->saved_data["plan"].toCapsule());
    const device::Heads& constants = plan->constants;
    const std::int64_t batch = constants.tokens / constants.length, all = constants.heads + 2 * constants.kv_heads;
    variable_list kept;  // what the kernel reads
    const auto gradient = [&](const at::Tensor& grad, std::int64_t heads) -> device::HeadsBackward::Gradient {
      at::Tensor& g = kept.emplace_back(grad);
      if (!g.defined()) g = at::zeros({batch, constants.length, heads, constants.dim}, any->options());
      if (g.stride(3) != 1) g = g.contiguous();
      return {data(g), g.stride(0), g.stride(1), g.stride(2)};
    };
    device::HeadsBackward a;
    a.forward = constants;
    a.forward.qkv = data(saved[0]);
    a.q = gradient(grads[0], constants.heads);
    a.k = gradient(grads[1], constants.kv_heads);
    a.v = gradient(grads[2], constants.kv_heads);
    at::Tensor grad_qkv = at::empty({constants.tokens, all * constants.dim}, any->options());
    a.grad_qkv = grad_qkv.mutable_data_ptr();
    kernels_for(grad_qkv).heads_backward(a);
    return {grad_qkv, Variable()};
  }
};

bool heads_covered(const AttentionInput& input) {
  const auto has = [&](const at::Tensor& x, at::ScalarType type) {
    return x.device() == input.qkv.device() && x.scalar_type() == type;
  };
  const at::ScalarType type = input.qkv.scalar_type();
  return covered(input.qkv) && input.qkv.size(0) > 0 &&
         (input.rope == nullptr || (has(input.rope->cos, at::kFloat) && has(input.rope->sin, at::kFloat))) &&
         (!input.q_norm.defined() || (has(input.q_norm, type) && has(input.k_norm, type)));
}

}  // namespace

at::Tensor DeviceOps::rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  if (!covered(x) || !fits(weight, x)) return AtenOps::rms_norm(x, weight, eps);
  return RmsNormFunction::apply(x.contiguous(), weight.contiguous(), eps);
}

std::pair<at::Tensor, at::Tensor> DeviceOps::add_rms_norm(const at::Tensor& x, const at::Tensor& delta,
                                                          const at::Tensor& weight, double eps) {
  if (!covered(x) || !fits(weight, x) || delta.scalar_type() != x.scalar_type()) {
    return AtenOps::add_rms_norm(x, delta, weight, eps);
  }
  variable_list results = AddRmsNormFunction::apply(x.contiguous(), delta.contiguous(), weight.contiguous(), eps);
  return {std::move(results[0]), std::move(results[1])};
}

at::Tensor DeviceOps::gated_activation(const at::Tensor& gate_up, Activation activation) {
  if (!covered(gate_up)) return AtenOps::gated_activation(gate_up, activation);
  return GatedFunction::apply(gate_up.contiguous(), activation);
}

at::Tensor DeviceOps::attention(const AttentionInput& input) {
  const AttentionSpec& spec = *input.spec;
  const std::int64_t tokens = input.qkv.size(0), length = tokens / input.batch;
  const bool windowed = spec.window > 0 && spec.window < length;
  // LibTorch's attention takes any mask but is slow with one; its flash attention knows windows by themselves.
  const bool flash = input.qkv.scalar_type() == at::kBFloat16 && spec.head_dim <= 256 && spec.head_dim % 8 == 0;
  if (!heads_covered(input) || spec.softcap != 0.0 || spec.sinks || (windowed && !flash)) {
    return AtenOps::attention(input);
  }
  const variable_list heads = TakeHeads::apply(input.qkv.contiguous(), make_plan(input));
  if (windowed) {
    const auto [out, lse, rng_state, unused, debug_mask] = at::_flash_attention_forward(
        heads[0], heads[1], heads[2], /*cum_seq_q=*/{}, /*cum_seq_k=*/{}, length, length, /*dropout_p=*/0.0,
        /*is_causal=*/true, /*return_debug_mask=*/false, spec.scale, spec.window - 1, /*window_size_right=*/0);
    return out.reshape({tokens, spec.heads * spec.head_dim});
  }
  const at::Tensor out = at::scaled_dot_product_attention(
      heads[0].transpose(1, 2), heads[1].transpose(1, 2), heads[2].transpose(1, 2), /*attn_mask=*/{}, /*dropout_p=*/0.0,
      /*is_causal=*/true, spec.scale, /*enable_gqa=*/spec.heads != spec.kv_heads);
  return out.transpose(1, 2).reshape({tokens, spec.heads * spec.head_dim});
}

}  // namespace autoround::model
