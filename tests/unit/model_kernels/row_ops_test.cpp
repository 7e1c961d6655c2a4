#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdlib>
#include <string>

#include "model/kernels/kernels.hpp"
#include "model/ops.hpp"
#include "model/token_copies.hpp"
#include "reference.hpp"
#include "support/catch.hpp"

namespace autoround::model {
namespace {

constexpr double kEps = 1e-5;

/// Relative error allowed after a few roundings to the type.
double tolerance(at::ScalarType type) { return type == at::kFloat ? 1e-6 : 0.005; }

at::ScalarType any_type() { return GENERATE(at::kBFloat16, at::kFloat); }

/// Of a norm's weight: that of x or a wider one.
at::ScalarType weight_type(at::ScalarType type) { return GENERATE(true, false) ? type : at::kFloat; }

/// Smaller and larger than a vector of every instruction set, and with a part left over.
std::int64_t any_width() { return GENERATE(1, 3, 16, 37, 576); }

at::Tensor grad_of(const at::Tensor& y, const at::Tensor& x, const at::Tensor& grad) {
  return torch::autograd::grad({y}, {x}, {grad.to(y.scalar_type())}, /*retain_graph=*/true)[0];
}

}  // namespace

TEST_CASE("kernels: the table is the fastest that CPU and limit allow", "[dispatch]") {
  const auto name = [](const kernels::CpuFeatures& features, const char* limit, const char* onednn = "") {
    return std::string(kernels::kernels_for(features, limit, onednn).name);
  };
  CHECK(name({}, "") == "portable");
#if defined(__x86_64__)
  const kernels::CpuFeatures avx2{true}, avx512{true, true}, bf16{true, true, true}, amx{true, true, true, true};
  CHECK(name(avx2, "") == "avx2");
  CHECK(name(avx512, "") == "avx512");
  CHECK(name(bf16, "") == "avx512_bf16");
  CHECK(name(amx, "") == "amx_bf16");
  CHECK(name(amx, "avx512") == "amx_bf16");  // as LibTorch understands it: its products are not limited by this
  CHECK(name(amx, "avx2") == "avx2");
  CHECK(name(amx, "default") == "portable");
  CHECK(name(avx2, "avx512") == "avx2");
  CHECK(name(amx, "", "avx512_core_bf16") == "avx512_bf16");
  CHECK(name(amx, "", "AVX512_CORE_AMX") == "amx_bf16");
  CHECK(name(amx, "", "default") == "amx_bf16");
  CHECK(name(bf16, "", "AVX512_CORE_AMX") == "avx512_bf16");
  CHECK(kernels::kernels_for(bf16, "", "").products != nullptr);
  CHECK(kernels::kernels_for(amx, "", "").products != kernels::kernels_for(bf16, "", "").products);
  CHECK(kernels::kernels_for(avx512, "", "").products == nullptr);
  for (const kernels::CpuFeatures& features : {kernels::CpuFeatures(), avx2, avx512, bf16, amx}) {
    CHECK(kernels::kernels_for(features, "", "").attention_fp32 != nullptr);
  }
#endif
}

TEST_CASE("kernels: the table in use is that of this CPU and its environment", "[dispatch]") {
  const auto value = [](const char* variable) { return std::string(variable == nullptr ? "" : variable); };
  const std::string limit = value(std::getenv("ATEN_CPU_CAPABILITY")), onednn = value(kernels::onednn_limit());
  CAPTURE(limit, onednn);
  CHECK(&kernels::select_kernels() == &kernels::kernels_for(kernels::cpu_features(), limit.c_str(), onednn.c_str()));
#if defined(__x86_64__)
  CHECK(kernels::cpu_features().avx512_bf16 >= kernels::cpu_features().amx_bf16);
  if (__builtin_cpu_supports("avx512bf16")) CHECK(kernels::cpu_features().avx512_bf16);
  if (!kernels::cpu_features().amx_bf16)
    WARN("this CPU has no AMX: products and attention by tile registers were not run");
#endif
}

TEST_CASE("fused rms_norm: output and gradient are the mathematical ones", "[rows]") {
  const auto type = any_type();
  const std::int64_t width = any_width();
  CAPTURE(type, width);
  const at::Tensor x = reference::random({50, width}, type, 1).requires_grad_(true);
  const at::Tensor wide = reference::leaf(x, at::kDouble);
  const at::Tensor weight = (1.0 + 0.3 * reference::random({width}, at::kFloat, 2)).to(weight_type(type));
  const at::Tensor grad = reference::random({50, width}, type, 3);
  FusedOps ops;
  const at::Tensor y = ops.rms_norm(x, weight, kEps), wanted = reference::rms_norm(wide, weight.to(at::kDouble), kEps);
  CHECK(y.scalar_type() == type);
  CHECK(reference::relative_error(y, wanted) < tolerance(type));
  if (width > 1) CHECK(reference::relative_error(grad_of(y, x, grad), grad_of(wanted, wide, grad)) < tolerance(type));
}

TEST_CASE("fused add_rms_norm: both results, and the gradient through either or both", "[rows]") {
  const auto type = any_type();
  const std::int64_t width = GENERATE(37, 576);
  CAPTURE(type, width);
  const at::Tensor x = reference::random({40, width}, type, 1).requires_grad_(true);
  const at::Tensor delta = reference::random({40, width}, type, 2).requires_grad_(true);
  const at::Tensor wide_x = reference::leaf(x, at::kDouble), wide_delta = reference::leaf(delta, at::kDouble);
  const at::Tensor weight = (1.0 + 0.3 * reference::random({width}, at::kFloat, 3)).to(weight_type(type));
  const at::Tensor grad_h = reference::random({40, width}, type, 4), grad_y = reference::random({40, width}, type, 5);
  FusedOps ops;
  const auto [h, y] = ops.add_rms_norm(x, delta, weight, kEps);
  const at::Tensor wanted_h = wide_x + wide_delta;
  const at::Tensor wanted_y = reference::rms_norm(wanted_h, weight.to(at::kDouble), kEps);
  CHECK(at::equal(h, x + delta));
  CHECK(reference::relative_error(y, wanted_y) < tolerance(type));

  const auto gradients = [&](const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& inputs,
                             std::vector<at::Tensor> grads) {
    for (at::Tensor& grad : grads) grad = grad.to(outputs[0].scalar_type());
    return torch::autograd::grad(outputs, inputs, grads, /*retain_graph=*/true);
  };
  using Tensors = std::vector<at::Tensor>;
  const auto check_through = [&](const Tensors& outputs, const Tensors& wanted, const Tensors& grads) {
    const auto got = gradients(outputs, {x, delta}, grads), expected = gradients(wanted, {wide_x, wide_delta}, grads);
    for (std::size_t i = 0; i < 2; ++i) CHECK(reference::relative_error(got[i], expected[i]) < tolerance(type));
  };
  check_through({h}, {wanted_h}, {grad_h});
  check_through({y}, {wanted_y}, {grad_y});
  check_through({h, y}, {wanted_h, wanted_y}, {grad_h, grad_y});
}

TEST_CASE("fused gated activation: output and gradient are the mathematical ones", "[rows]") {
  const auto type = any_type();
  const auto activation = GENERATE(Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::relu);
  const std::int64_t width = any_width();
  CAPTURE(type, static_cast<int>(activation), width);
  const at::Tensor x = (3.0 * reference::random({50, 2 * width}, at::kFloat, 1)).to(type).requires_grad_(true);
  const at::Tensor wide = reference::leaf(x, at::kDouble), grad = reference::random({50, width}, type, 3);
  FusedOps ops;
  const at::Tensor y = ops.gated_activation(x, activation), wanted = reference::gated(wide, activation);
  CHECK(y.sizes() == wanted.sizes());
  CHECK(reference::relative_error(y, wanted) < tolerance(type));
  CHECK(reference::relative_error(grad_of(y, x, grad), grad_of(wanted, wide, grad)) < tolerance(type));
}

TEST_CASE("fused activation: output and gradient are the mathematical ones", "[rows]") {
  const auto type = any_type();
  const auto activation = GENERATE(Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::relu);
  const std::int64_t width = any_width();
  CAPTURE(type, static_cast<int>(activation), width);
  const at::Tensor x = (3.0 * reference::random({50, width}, at::kFloat, 1)).to(type).requires_grad_(true);
  const at::Tensor wide = reference::leaf(x, at::kDouble), grad = reference::random({50, width}, type, 3);
  FusedOps ops;
  const at::Tensor y = ops.activation(x, activation), wanted = reference::activation(wide, activation);
  CHECK(y.scalar_type() == type);
  CHECK(reference::relative_error(y, wanted) < tolerance(type));
  CHECK(reference::relative_error(grad_of(y, x, grad), grad_of(wanted, wide, grad)) < tolerance(type));
}

TEST_CASE("fused GELU: the normal distribution is good to some 1e-7, in its tails too", "[rows]") {
  const at::Tensor x = at::linspace(-9.0, 9.0, 20001, at::kFloat).unsqueeze(1).requires_grad_(true);
  FusedOps ops;
  const at::Tensor y = ops.activation(x, Activation::gelu), wide = reference::leaf(x, at::kDouble);
  const at::Tensor wanted = at::gelu(wide), ones = at::ones_like(x);
  CHECK((y.to(at::kDouble) - wanted).abs().max().item<double>() < 6e-7);
  CHECK((grad_of(y, x, ones).to(at::kDouble) - grad_of(wanted, wide, ones)).abs().max().item<double>() < 1e-6);
}

TEST_CASE("fused activations: infinity and NaN are kept, and no rows are none", "[rows]") {
  const auto type = any_type();
  const auto activation = GENERATE(Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::relu);
  CAPTURE(type, static_cast<int>(activation));
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  FusedOps ops;
  const at::Tensor y = ops.activation(at::tensor({infinity, nan, 1e4f}).to(type).view({1, 3}), activation)[0];
  CHECK(y[0].item<float>() == infinity);
  CHECK(y[1].isnan().item<bool>());
  CHECK(y[2].item<float>() == at::tensor(1e4f).to(type).item<float>());
  CHECK(ops.activation(at::empty({0, 4}, type), activation).sizes() == at::IntArrayRef({0, 4}));
}

TEST_CASE("sums of copies: output and gradients are the mathematical ones", "[rows]") {
  const auto type = any_type();
  const std::int64_t width = any_width(), tokens = 9, copies = 3;
  const auto kind = GENERATE(as<std::string>(), "no weights", "fp32 weights", "weights of the rows' type");
  CAPTURE(type, width, kind);
  const at::Tensor rows = reference::random({tokens * copies, width}, type, 1);
  const at::Tensor position = reference::random({tokens * copies}, at::kFloat, 2).argsort().view({copies, tokens});
  at::Tensor weights;
  if (kind != "no weights")
    weights = reference::random({tokens, copies}, kind == "fp32 weights" ? at::kFloat : type, 3);
  const at::Tensor grad = reference::random({tokens, width}, type, 4);
  const auto pool = c10::make_intrusive<BufferPool>();

  const at::Tensor wide = reference::leaf(rows, at::kDouble),
                   wide_weights =
                       reference::leaf(weights.defined() ? weights : at::ones({tokens, copies}), at::kDouble);
  const at::Tensor picked = wide.index_select(0, position.t().reshape(-1)).view({tokens, copies, width});
  const at::Tensor wanted = (picked * wide_weights.unsqueeze(2)).sum(1);
  const at::Tensor y = sum_copies(rows, position, weights, *pool);
  CHECK(y.scalar_type() == type);
  CHECK(reference::relative_error(y, wanted) < tolerance(type));
  if (!weights.defined()) return;

  at::Tensor token = at::empty({tokens * copies}, at::kLong);
  token.index_put_({position.reshape(-1)}, at::arange(tokens).repeat({copies}));
  const CopiesGradients got = sum_copies_gradients(rows, token, position, weights, grad, *pool);
  const auto expected = torch::autograd::grad({wanted}, {wide, wide_weights}, {grad.to(at::kDouble)});
  CHECK(got.rows.scalar_type() == type);
  CHECK(got.weights.scalar_type() == weights.scalar_type());
  CHECK(reference::relative_error(got.rows, expected[0]) < tolerance(type));
  CHECK(reference::relative_error(got.weights, expected[1]) < tolerance(type));
}

TEST_CASE("fused layer_norm: output and gradient are the mathematical ones", "[rows]") {
  const auto type = any_type();
  const std::int64_t width = any_width();
  const auto kind = GENERATE(as<std::string>(), "plain", "weight", "weight and bias", "weights of heads");
  CAPTURE(type, width, kind);
  const at::Tensor x = (2.0 + reference::random({20, 3, width}, at::kFloat, 1)).to(type).requires_grad_(true);
  const at::Tensor wide = reference::leaf(x, at::kDouble), grad = reference::random({20, 3, width}, type, 3);
  at::Tensor weight, bias;
  if (kind == "weights of heads") weight = (1.0 + 0.3 * reference::random({3, width}, at::kFloat, 2)).to(type);
  if (kind.starts_with("weight") && !weight.defined())
    weight = (1.0 + 0.3 * reference::random({width}, at::kFloat, 2)).to(weight_type(type));
  if (kind == "weight and bias") bias = reference::random({width}, weight.scalar_type(), 4);
  FusedOps ops;
  const at::Tensor y = ops.layer_norm(x, weight, bias, kEps);
  at::Tensor wanted = at::layer_norm(wide, {width}, {}, {}, kEps);
  if (weight.defined()) wanted = wanted * weight.to(at::kDouble);
  if (bias.defined()) wanted = wanted + bias.to(at::kDouble);
  CHECK(y.scalar_type() == type);
  CHECK(reference::relative_error(y, wanted) < tolerance(type));
  if (width > 1) CHECK(reference::relative_error(grad_of(y, x, grad), grad_of(wanted, wide, grad)) < tolerance(type));
}

TEST_CASE("fused SiLU: the exponential is good to a few units in the last place", "[rows]") {
  const at::Tensor gate = at::linspace(-80.0, 80.0, 20001, at::kFloat);
  const at::Tensor gate_up = at::stack({gate, at::ones_like(gate)}, 1).contiguous();  // one column each
  FusedOps ops;
  const at::Tensor y = ops.gated_activation(gate_up, Activation::silu).flatten().to(at::kDouble);
  const at::Tensor wanted = at::silu(gate.to(at::kDouble));
  CHECK(((y - wanted).abs() / wanted.abs().clamp_min(1e-30)).max().item<double>() < 5e-7);
}

TEST_CASE("fused row ops: rounding to bf16 is to nearest even, as LibTorch's", "[rows]") {
  const at::Tensor size = at::pow(2.0, at::arange(4000) % 60 - 30);
  const at::Tensor x = (reference::random({4000}, at::kFloat, 1) * size).to(at::kBFloat16);
  const at::Tensor delta = reference::random({4000}, at::kBFloat16, 2);
  const at::Tensor weight = at::ones({4000}, at::kBFloat16);
  FusedOps ops;
  CHECK(at::equal(ops.add_rms_norm(x.unsqueeze(0), delta.unsqueeze(0), weight, kEps).first[0], x + delta));
}

TEST_CASE("fused row ops: the same bytes with any number of threads, NaN and infinity kept", "[rows]") {
  const int before = at::get_num_threads();
  const auto type = any_type();
  at::Tensor x = reference::random({300, 576}, type, 1);
  x[7][100] = std::numeric_limits<float>::quiet_NaN();
  x[9][575] = std::numeric_limits<float>::infinity();
  const at::Tensor weight = at::ones({576}, type);
  FusedOps ops;
  at::set_num_threads(1);
  const at::Tensor norm = ops.rms_norm(x, weight, kEps), act = ops.gated_activation(x, Activation::silu);
  at::set_num_threads(3);
  const at::Tensor norm_again = ops.rms_norm(x, weight, kEps), act_again = ops.gated_activation(x, Activation::silu);
  at::set_num_threads(before);
  CHECK(at::equal(norm.nan_to_num(), norm_again.nan_to_num()));
  CHECK(at::equal(act.nan_to_num(), act_again.nan_to_num()));
  CHECK(norm[7].isnan().all().item<bool>());
  CHECK(act[7][100].isnan().item<bool>());
  CHECK(act.isnan().sum().item<std::int64_t>() == 1);
  CHECK(act[9][287].isinf().item<bool>());
  CHECK_FALSE(norm.narrow(0, 10, 290).isnan().any().item<bool>());
}

TEST_CASE("fused row ops: no rows, strided rows, weights of another type", "[rows]") {
  FusedOps fused;
  AtenOps plain;
  const at::Tensor weight = at::ones({32}, at::kBFloat16);
  CHECK(fused.rms_norm(at::empty({0, 32}, at::kBFloat16), weight, kEps).sizes() == at::IntArrayRef({0, 32}));
  const at::Tensor strided = reference::random({32, 20}, at::kBFloat16, 1).t();
  CHECK(at::equal(fused.rms_norm(strided, weight, kEps), fused.rms_norm(strided.contiguous(), weight, kEps)));
  const at::Tensor wide_weight = at::ones({32}, at::kFloat);
  CHECK(at::equal(fused.rms_norm(strided, wide_weight, kEps), plain.rms_norm(strided, wide_weight, kEps)));
  CHECK_FALSE(fused.rms_norm(strided, weight, kEps).requires_grad());
  CHECK(
      at::equal(fused.layer_norm(strided, weight, {}, kEps), fused.layer_norm(strided.contiguous(), weight, {}, kEps)));
}

}  // namespace autoround::model
