// Attention on a CUDA device: heads are taken out of q | k | v by kernels of our own, LibTorch attends.
#include <ATen/ops/_efficient_attention_backward.h>
#include <ATen/ops/_efficient_attention_forward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "model/autograd_names.hpp"
#include "model/device_ops.hpp"
#include "model/device_tensors.hpp"

namespace autoround::model {
namespace {

bool is_windowed(const AttentionSpec& spec, std::int64_t length) { return spec.window > 0 && spec.window < length; }

/// LibTorch's flash attention, which alone knows windows and query heads that share a key head.
bool is_flash(const AttentionSpec& spec, at::ScalarType type) { return type == at::kBFloat16 && spec.head_dim <= 256; }

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

/// Causal attention of [B, S, heads, D] whose gradients are added up in one order: LibTorch's memory-efficient one with
/// the keys in one part, as it computes itself where all of a process is to be deterministic.
struct OrderedAttention : Function<OrderedAttention> {
  static constexpr std::int64_t causal = 1;  // its number for that mask

  static Variable forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          double scale) {
    const auto [out, lse, seed, offset, queries, keys] = at::_efficient_attention_forward(
        q, k, v, /*bias=*/{}, /*cu_seqlens_q=*/{}, /*cu_seqlens_k=*/{}, /*max_seqlen_q=*/{}, /*max_seqlen_k=*/{},
        /*dropout_p=*/0.0, causal, /*compute_log_sumexp=*/true, scale);
    ctx->save_for_backward({q, k, v, out, lse, seed, offset});
    ctx->saved_data["scale"] = scale;
    ctx->set_materialize_grads(false);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    if (!grads[0].defined()) return {Variable(), Variable(), Variable(), Variable()};
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1];
    const auto [grad_q, grad_k, grad_v, grad_bias] = at::_efficient_attention_backward(
        grads[0].contiguous(), q, k, /*value=*/saved[2], /*bias=*/{}, /*out=*/saved[3], /*cu_seqlens_q=*/{},
        /*cu_seqlens_k=*/{}, q.size(1), k.size(1), /*logsumexp=*/saved[4], /*dropout_p=*/0.0, /*philox_seed=*/saved[5],
        /*philox_offset=*/saved[6], causal, /*bias_requires_grad=*/false, ctx->saved_data["scale"].toDouble(),
        /*num_splits_key=*/1);
    return {grad_q, grad_k, grad_v, Variable()};
  }
};

/// x of [B, S, kv_heads, D] with each head as often as queries share it.
at::Tensor repeat_heads(const at::Tensor& x, std::int64_t times) {
  if (times == 1) return x;
  const std::int64_t batch = x.size(0), length = x.size(1), heads = x.size(2), dim = x.size(3);
  return x.unsqueeze(3).expand({batch, length, heads, times, dim}).reshape({batch, length, heads * times, dim});
}

}  // namespace

bool DeviceOps::fuses_attention(const AttentionSpec& spec, at::ScalarType type, std::int64_t length,
                                bool deterministic) {
  // LibTorch's attention takes any mask but is slow with one. Flash adds gradients up in any order, and pads heads of
  // other sizes where there is no window; the memory-efficient one takes none of them.
  const bool aligned = spec.head_dim % 8 == 0, flash = !deterministic && is_flash(spec, type);
  const bool fits = is_windowed(spec, length) ? flash && aligned : flash || aligned;
  return spec.softcap == 0.0 && !spec.sinks && fits;
}

at::Tensor DeviceOps::attention(const AttentionInput& input) {
  const AttentionSpec& spec = *input.spec;
  const std::int64_t tokens = input.qkv.size(0), length = tokens / input.batch;
  if (!fuses_attention(spec, input.qkv.scalar_type(), length, deterministic_) || !heads_covered(input))
    return AtenOps::attention(input);
  const variable_list heads = TakeHeads::apply(input.qkv.contiguous(), make_plan(input));
  if (deterministic_) {
    const std::int64_t times = spec.heads / spec.kv_heads;
    const at::Tensor out =
        OrderedAttention::apply(heads[0], repeat_heads(heads[1], times), repeat_heads(heads[2], times), spec.scale);
    return out.reshape({tokens, spec.heads * spec.head_dim});
  }
  if (is_windowed(spec, length)) {
    const auto [out, lse, rng_state, unused, debug_mask] = at::_flash_attention_forward(
        heads[0], heads[1], heads[2], /*cum_seq_q=*/{}, /*cum_seq_k=*/{}, length, length, /*dropout_p=*/0.0,
        /*is_causal=*/true, /*return_debug_mask=*/false, spec.scale, spec.window - 1, /*window_size_right=*/0);
    return out.reshape({tokens, spec.heads * spec.head_dim});
  }
  // What does not know shared heads would fall back to one with the scores of all queries.
  const bool shares = spec.heads != spec.kv_heads && is_flash(spec, input.qkv.scalar_type());
  const std::int64_t times = shares ? 1 : spec.heads / spec.kv_heads;
  const at::Tensor out =
      at::scaled_dot_product_attention(heads[0].transpose(1, 2), repeat_heads(heads[1], times).transpose(1, 2),
                                       repeat_heads(heads[2], times).transpose(1, 2), /*attn_mask=*/{},
                                       /*dropout_p=*/0.0, /*is_causal=*/true, spec.scale, /*enable_gqa=*/shares);
  return out.transpose(1, 2).reshape({tokens, spec.heads * spec.head_dim});
}

}  // namespace autoround::model
