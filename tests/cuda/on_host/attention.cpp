// The attention operations of LibTorch that only a GPU has, for the CPU: [B, S, heads, D], causal, without dropout.
#include <ATen/ATen.h>
#include <torch/library.h>

#include <tuple>

namespace autoround::cuda::on_host {
namespace {

using at::Tensor;
using MaybeTensor = std::optional<Tensor>;

/// [B, heads, S, D] in double precision, each key head as often as queries share it.
Tensor heads_of(const Tensor& x, std::int64_t heads) {
  return x.transpose(1, 2).to(at::kDouble).repeat_interleave(heads / x.size(2), 1);
}

/// @param reach how many keys before its own a query sees; -1: all
Tensor scores_of(const Tensor& q, const Tensor& k, double scale, std::int64_t reach) {
  const std::int64_t heads = q.size(2), length = q.size(1);
  const Tensor all = at::ones({length, length}, at::kBool);
  const Tensor hidden = reach < 0 ? all.triu(1) : all.triu(1).logical_or(all.tril(-reach - 1));
  const Tensor scores = heads_of(q, heads).matmul(heads_of(k, heads).transpose(-2, -1)) * scale;
  return scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
}

struct Attended {
  Tensor out, lse;
};

Attended attend(const Tensor& q, const Tensor& k, const Tensor& v, double scale, std::int64_t reach) {
  const Tensor scores = scores_of(q, k, scale, reach);
  const Tensor out = scores.softmax(-1).matmul(heads_of(v, q.size(2)));
  return {out.transpose(1, 2).to(q.scalar_type()).contiguous(), scores.logsumexp(-1).to(at::kFloat)};
}

struct Gradients {
  Tensor q, k, v;
};

Gradients gradients_of(const Tensor& grad_out, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out,
                       const Tensor& lse, double scale, std::int64_t reach) {
  const std::int64_t heads = q.size(2);
  const Tensor p = (scores_of(q, k, scale, reach) - lse.to(at::kDouble).unsqueeze(-1)).exp();
  const Tensor grad = heads_of(grad_out, heads);
  const Tensor of_rows = (grad * heads_of(out, heads)).sum(-1, /*keepdim=*/true);
  const Tensor of_scores = p * (grad.matmul(heads_of(v, heads).transpose(-2, -1)) - of_rows) * scale;
  const auto summed = [&](const Tensor& x, const Tensor& like) {
    const Tensor groups = x.unflatten(1, {like.size(2), heads / like.size(2)}).sum(2);
    return groups.transpose(1, 2).to(like.scalar_type()).contiguous();
  };
  return {summed(of_scores.matmul(heads_of(k, heads)), q),
          summed(of_scores.transpose(-2, -1).matmul(heads_of(q, heads)), k),
          summed(p.transpose(-2, -1).matmul(grad), v)};
}

void check_causal(bool causal, double dropout) {
  TORCH_CHECK(causal && dropout == 0.0, "only causal attention without dropout is there");
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> flash(const Tensor& q, const Tensor& k, const Tensor& v,
                                                         const MaybeTensor&, const MaybeTensor&, c10::SymInt,
                                                         c10::SymInt, double dropout, bool causal, bool,
                                                         std::optional<double> scale, std::optional<c10::SymInt> left,
                                                         std::optional<c10::SymInt>, const MaybeTensor&,
                                                         const MaybeTensor&) {
  check_causal(causal, dropout);
  auto [out, lse] = attend(q, k, v, scale.value(), left ? left->expect_int() : -1);
  return {out, lse, at::empty({2}, at::kLong), at::empty({}, at::kLong), at::empty({0}, q.options())};
}

std::tuple<Tensor, Tensor, Tensor> flash_backward(const Tensor& grad_out, const Tensor& q, const Tensor& k,
                                                  const Tensor& v, const Tensor& out, const Tensor& lse, const Tensor&,
                                                  const Tensor&, c10::SymInt, c10::SymInt, double dropout, bool causal,
                                                  const Tensor&, const Tensor&, std::optional<double> scale,
                                                  std::optional<c10::SymInt> left, std::optional<c10::SymInt>) {
  check_causal(causal, dropout);
  auto [of_q, of_k, of_v] = gradients_of(grad_out, q, k, v, out, lse, scale.value(), left ? left->expect_int() : -1);
  return {of_q, of_k, of_v};
}

constexpr std::int64_t kCausal = 1;  // of the memory-efficient one's masks

std::tuple<Tensor, Tensor, Tensor, Tensor, c10::SymInt, c10::SymInt> efficient(
    const Tensor& q, const Tensor& k, const Tensor& v, const MaybeTensor&, const MaybeTensor&, const MaybeTensor&,
    std::optional<c10::SymInt>, std::optional<c10::SymInt>, double dropout, std::int64_t mask, bool,
    std::optional<double> scale, const MaybeTensor&, std::optional<std::int64_t>) {
  check_causal(mask == kCausal, dropout);
  auto [out, lse] = attend(q, k, v, scale.value(), -1);
  return {out, lse, at::empty({}, at::kLong), at::empty({}, at::kLong), q.size(1), k.size(1)};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> efficient_backward(const Tensor& grad_out, const Tensor& q, const Tensor& k,
                                                              const Tensor& v, const MaybeTensor&, const Tensor& out,
                                                              const MaybeTensor&, const MaybeTensor&, c10::SymInt,
                                                              c10::SymInt, const Tensor& lse, double dropout,
                                                              const Tensor&, const Tensor&, std::int64_t mask, bool,
                                                              std::optional<double> scale, std::optional<std::int64_t>,
                                                              std::optional<std::int64_t>, bool) {
  check_causal(mask == kCausal, dropout);
  auto [of_q, of_k, of_v] = gradients_of(grad_out, q, k, v, out, lse, scale.value(), -1);
  return {of_q, of_k, of_v, Tensor()};
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, CPU, library) {
  library.impl("_flash_attention_forward", flash);
  library.impl("_flash_attention_backward", flash_backward);
  library.impl("_efficient_attention_forward", efficient);
  library.impl("_efficient_attention_backward", efficient_backward);
}

}  // namespace autoround::cuda::on_host
