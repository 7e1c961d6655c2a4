// Heads taken out of q | k | v by the kernels of a GPU, and their gradients put back, against double precision.
#include <torch/csrc/autograd/autograd.h>

#include "gpu.hpp"
#include "ops_cases.hpp"

namespace autoround::model {
namespace {

struct HeadsCase {
  std::int64_t length, batch, heads, kv_heads, dim, rotary;
  bool norm;
};

/// A gradient [B, S, heads, D] as attention hands it over: the heads apart, each with `offset` elements before its own
/// and the others of eight behind.
at::Tensor strided_gradient(const HeadsCase& c, std::int64_t heads, at::ScalarType type, std::int64_t offset,
                            std::uint64_t seed) {
  const at::Tensor memory = reference::random({c.batch, heads, c.length, c.dim + 8}, type, seed).to(gpu);
  return memory.narrow(3, offset, c.dim).transpose(1, 2);
}

device::HeadsBackward::Gradient strides_of(const at::Tensor& grad) {
  return {grad.const_data_ptr(), grad.stride(0), grad.stride(1), grad.stride(2)};
}

}  // namespace

TEST_CASE("CUDA heads: taken out of qkv, normalized and rotated, and gradients of any strides put back", "[heads]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const device::Kernels& kernels = device::kernels(gpu);
  const auto type = any_type();
  const HeadsCase c = GENERATE(values<HeadsCase>({{5, 2, 4, 2, 64, 64, true},
                                                  {7, 1, 9, 3, 64, 64, false},
                                                  {9, 3, 3, 1, 80, 20, true},
                                                  {6, 1, 2, 2, 96, 0, true},
                                                  {4, 2, 12, 4, 128, 128, true},
                                                  {4, 1, 2, 1, 256, 64, true},
                                                  {3, 2, 1, 1, 512, 512, true},
                                                  {8, 1, 3, 3, 6, 6, true},  // halves of three elements
                                                  {8, 1, 2, 1, 10, 0, false}}));
  const std::int64_t offset = GENERATE(0, 1, 2);
  CAPTURE(type, c.dim, c.rotary, c.norm, offset);
  const std::int64_t tokens = c.batch * c.length, all = c.heads + 2 * c.kv_heads;
  const at::Tensor qkv = reference::random({tokens, all * c.dim}, type, 1), there = qkv.to(gpu);
  const at::Tensor q_norm = random_weight(c.dim, type, 2), k_norm = random_weight(c.dim, type, 3);
  const at::Tensor q_weight = q_norm.to(gpu), k_weight = k_norm.to(gpu);
  RopeTable rope;
  if (c.rotary > 0) rope = reference::rope_table(c.length + 1, c.rotary);
  RopeTable table;
  if (c.rotary > 0) table = {rope.cos.to(gpu), rope.sin.to(gpu)};
  const auto part = [&](std::int64_t heads) { return at::empty({c.batch, c.length, heads, c.dim}, there.options()); };
  at::Tensor q = part(c.heads), k = part(c.kv_heads), v = part(c.kv_heads), grad_qkv = at::full_like(there, 1e9);

  const device::Heads forward{.element = type == at::kFloat ? device::Element::f32 : device::Element::bf16,
                              .tokens = tokens,
                              .length = c.length,
                              .heads = c.heads,
                              .kv_heads = c.kv_heads,
                              .dim = c.dim,
                              .half = c.rotary / 2,
                              .eps = static_cast<float>(kEps),
                              .cos = c.rotary > 0 ? table.cos.const_data_ptr<float>() : nullptr,
                              .sin = c.rotary > 0 ? table.sin.const_data_ptr<float>() : nullptr,
                              .q_norm = c.norm ? q_weight.const_data_ptr() : nullptr,
                              .k_norm = c.norm ? k_weight.const_data_ptr() : nullptr,
                              .qkv = there.const_data_ptr(),
                              .q = q.mutable_data_ptr(),
                              .k = k.mutable_data_ptr(),
                              .v = v.mutable_data_ptr()};
  kernels.heads(forward);
  const at::Tensor grad_q = strided_gradient(c, c.heads, type, offset, 4);
  const at::Tensor grad_k = strided_gradient(c, c.kv_heads, type, offset, 5);
  const at::Tensor grad_v = strided_gradient(c, c.kv_heads, type, offset, 6);
  kernels.heads_backward(
      {forward, strides_of(grad_q), strides_of(grad_k), strides_of(grad_v), grad_qkv.mutable_data_ptr()});

  const at::Tensor leaf = reference::leaf(qkv, at::kDouble);
  const at::Tensor rows = leaf.view({c.batch, c.length, all, c.dim}).transpose(1, 2);  // [B, heads, S, D]
  const auto turned = [&](std::int64_t first, std::int64_t heads, const at::Tensor& norm) {
    at::Tensor x = rows.narrow(1, first, heads);
    if (c.norm) x = reference::rms_norm(x, norm.to(at::kDouble), kEps);
    return (c.rotary > 0 ? reference::rotate(x, rope) : x).transpose(1, 2);
  };
  const Tensors wanted = {turned(0, c.heads, q_norm), turned(c.heads, c.kv_heads, k_norm),
                          rows.narrow(1, c.heads + c.kv_heads, c.kv_heads).transpose(1, 2)};
  CHECK(reference::relative_error(q.cpu(), wanted[0]) < tolerance(type));
  CHECK(reference::relative_error(k.cpu(), wanted[1]) < tolerance(type));
  CHECK(at::equal(v.cpu().to(at::kDouble), wanted[2]));
  const Tensors grads = {grad_q.cpu().to(at::kDouble), grad_k.cpu().to(at::kDouble), grad_v.cpu().to(at::kDouble)};
  const at::Tensor wanted_grad = torch::autograd::grad(wanted, {leaf}, grads)[0];
  CHECK(reference::relative_error(grad_qkv.cpu(), wanted_grad) < tolerance(type));
}

}  // namespace autoround::model
