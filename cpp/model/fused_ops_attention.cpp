// Attention of FusedOps: one autograd Function over the blocked kernel, from qkv to the heads' outputs and back.
#include <ATen/ops/empty.h>

#include <utility>

#include "model/autograd_names.hpp"
#include "model/guided_for.hpp"
#include "model/kernels/kernels.hpp"
#include "model/ops.hpp"

namespace autoround::model {
namespace {

/// What the backward needs beside qkv, out and lse: the constants, the tensors that their pointers point into, and
/// where results go.
struct Plan : torch::CustomClassHolder {
  kernels::Attention constants;
  const kernels::AttentionKernels* kernels = nullptr;
  std::int64_t batch = 0;
  at::Tensor cos, sin, sinks, q_norm, k_norm;
  c10::intrusive_ptr<BufferPool> pool;
};

c10::intrusive_ptr<Plan> make_plan(const AttentionInput& input, c10::intrusive_ptr<BufferPool> pool) {
  const AttentionSpec& spec = *input.spec;
  auto plan = c10::make_intrusive<Plan>();
  plan->kernels = FusedOps::attention_kernels(input.qkv.scalar_type());
  plan->batch = input.batch;
  plan->pool = std::move(pool);
  kernels::Attention& a = plan->constants;
  a.sequence = input.qkv.size(0) / input.batch;
  a.heads = spec.heads;
  a.kv_heads = spec.kv_heads;
  a.by_head = kernels::attends_by_head(input.batch, spec.heads, spec.kv_heads);
  a.head_dim = spec.head_dim;
  a.window = spec.window;
  a.scale = static_cast<float>(spec.scale);
  a.norm_eps = static_cast<float>(input.norm_eps);
  a.softcap = static_cast<float>(spec.softcap);
  if (input.rope != nullptr) {
    plan->cos = input.rope->cos.contiguous();
    plan->sin = input.rope->sin.contiguous();
    a.rotary_dim = 2 * plan->cos.size(1);
    a.cos = plan->cos.const_data_ptr<float>();
    a.sin = plan->sin.const_data_ptr<float>();
  }
  if (input.q_norm.defined()) {
    plan->q_norm = input.q_norm.contiguous();
    plan->k_norm = input.k_norm.contiguous();
    a.q_norm = plan->q_norm.const_data_ptr();
    a.k_norm = plan->k_norm.const_data_ptr();
    a.wide_norm = plan->q_norm.scalar_type() == at::kFloat;
  }
  if (spec.sinks) {
    plan->sinks = input.sinks.to(at::kFloat).contiguous();
    a.sinks = plan->sinks.const_data_ptr<float>();
  }
  return plan;
}

/// Runs one kernel over all tasks, so many of each sample, each thread with a workspace of its own.
void run_tasks(const Plan& plan, const kernels::Attention& a, std::int64_t tasks, const kernels::AttentionPass& pass) {
  const auto bytes = static_cast<std::int64_t>(pass.workspace_bytes(a));
  guided_for(plan.batch * tasks, 1, [&](std::int64_t begin, std::int64_t end) {
    const at::Tensor workspace = at::empty({bytes}, at::kByte);
    for (std::int64_t task = begin; task < end; ++task) pass.run(a, task, workspace.mutable_data_ptr());
  });
}

struct AttentionFunction : Function<AttentionFunction> {
  static Variable forward(AutogradContext* ctx, const at::Tensor& qkv, const c10::intrusive_ptr<Plan>& plan) {
    kernels::Attention a = plan->constants;
    const at::Tensor out = plan->pool->take({qkv.size(0), a.heads * a.head_dim}, qkv.scalar_type());
    const at::Tensor lse = plan->pool->take({plan->batch * a.heads, a.sequence}, at::kFloat);
    a.qkv = qkv.const_data_ptr();
    a.out = out.mutable_data_ptr();
    a.lse = lse.mutable_data_ptr<float>();
    run_tasks(*plan, a, kernels::tasks_of_sample(a), *plan->kernels->forward);
    ctx->save_for_backward({qkv, out, lse});
    ctx->saved_data["plan"] = c10::IValue::make_capsule(plan);
    ctx->set_materialize_grads(false);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    if (!grads[0].defined()) return {Variable(), Variable()};
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &qkv = saved[0], &out = saved[1], &lse = saved[2];
    const auto plan = c10::static_intrusive_pointer_cast<Plan>(ctx->saved_data["plan"].toCapsule());
    const at::Tensor grad_out = grads[0].contiguous(), grad_qkv = plan->pool->take_like(qkv);
    kernels::Attention a = plan->constants;
    a.qkv = qkv.const_data_ptr();
    a.out = out.mutable_data_ptr();
    a.lse = lse.mutable_data_ptr<float>();
    a.grad_out = grad_out.const_data_ptr();
    a.grad_qkv = grad_qkv.mutable_data_ptr();
    at::Tensor head_sums;
    if (a.by_head) {
      head_sums = plan->pool->take({plan->batch * a.heads, plan->kernels->head_floats(a)}, at::kFloat);
      a.head_sums = head_sums.mutable_data_ptr<float>();
    }
    run_tasks(*plan, a, kernels::tasks_of_sample(a), *plan->kernels->backward);
    if (a.by_head) run_tasks(*plan, a, a.kv_heads, *plan->kernels->add_heads);
    return {grad_qkv, Variable()};
  }
};

bool covered(const AttentionInput& input) {
  const auto of_cpu = [](const at::Tensor& x, at::ScalarType type) {
    return x.device().is_cpu() && x.scalar_type() == type;
  };
  const at::ScalarType type = input.qkv.scalar_type();
  const at::ScalarType norm_type =
      input.q_norm.defined() && input.q_norm.scalar_type() == at::kFloat ? at::kFloat : type;
  return FusedOps::fuses_attention(*input.spec, type) && of_cpu(input.qkv, type) && input.qkv.size(0) > 0 &&
         (input.rope == nullptr || (of_cpu(input.rope->cos, at::kFloat) && of_cpu(input.rope->sin, at::kFloat))) &&
         (!input.q_norm.defined() || (of_cpu(input.q_norm, norm_type) && of_cpu(input.k_norm, norm_type)));
}

}  // namespace

const kernels::AttentionKernels* FusedOps::attention_kernels(at::ScalarType type) {
  const kernels::Kernels& table = kernels::select_kernels();
  if (type == at::kBFloat16) return table.attention_bf16;
  return type == at::kFloat ? table.attention_fp32 : nullptr;
}

bool FusedOps::fuses_attention(const AttentionSpec& spec, at::ScalarType type) {
  return attention_kernels(type) != nullptr && spec.head_dim % 16 == 0 && spec.head_dim <= kernels::kMaxHeadDim;
}

at::Tensor FusedOps::attention(const AttentionInput& input) {
  if (!covered(input)) return AtenOps::attention(input);
  return AttentionFunction::apply(input.qkv.contiguous(), make_plan(input, pool()));
}

}  // namespace autoround::model
