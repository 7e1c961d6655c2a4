// Milliseconds per call of each fused op, forward and backward, at the shape of a SmolLM2-135M layer (8 x 256 tokens),
// in the type that this CPU computes with, ATen's own attention and the plain ops beside. Prints the least of many runs;
// run it on an idle machine.
//   kernels_bench [tokens per sample = 256] [samples = 8] [threads = 2]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>

#include "model/compute_type.hpp"
#include "model/kernels/kernels.hpp"
#include "model/ops.hpp"

namespace {

using namespace autoround;

constexpr int kRuns = 40;

double least_ms(const std::function<void()>& body) {
  double least = std::numeric_limits<double>::infinity();
  for (int run = 0; run < kRuns; ++run) {
    const auto start = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    least = std::min(least, took.count());
  }
  return least;
}

/// Times forward() and the gradient of its result with respect to x.
void report(const char* name, const at::Tensor& x, const std::function<at::Tensor()>& forward) {
  const double forward_ms = least_ms(forward);
  const at::Tensor y = forward(), grad = at::randn_like(y);
  const double backward_ms = least_ms([&] { torch::autograd::grad({y}, {x}, {grad}, /*retain_graph=*/true); });
  std::printf("%-34s %8.3f %8.3f\n", name, forward_ms, backward_ms);
}

at::Tensor random(at::IntArrayRef sizes) {
  return at::randn(sizes, at::TensorOptions(model::preferred_compute_type())).requires_grad_(true);
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t tokens = argc > 1 ? std::atoll(argv[1]) : 256, samples = argc > 2 ? std::atoll(argv[2]) : 8;
  at::set_num_threads(argc > 3 ? std::atoi(argv[3]) : 2);
  model::AttentionSpec spec;
  spec.heads = 9;
  spec.kv_heads = 3;
  spec.head_dim = 64;
  spec.scale = 0.125;
  const std::int64_t rows = samples * tokens, hidden = 576, intermediate = 1536;

  const at::Tensor frequencies = at::pow(10000.0, -at::arange(32, at::kFloat) / 32);
  const at::Tensor angles = at::outer(at::arange(tokens, at::kFloat), frequencies);
  const model::RopeTable rope{angles.cos(), angles.sin()};
  const at::Tensor qkv = random({rows, (spec.heads + 2 * spec.kv_heads) * spec.head_dim}), x = random({rows, hidden}),
                   delta = random({rows, hidden}), gate_up = random({rows, 2 * intermediate}),
                   weight = at::ones({hidden}, model::preferred_compute_type());
  model::AttentionInput input;
  input.qkv = qkv;
  input.batch = samples;
  input.spec = &spec;
  input.rope = &rope;

  model::FusedOps fused;
  model::AtenOps plain;
  std::printf("kernels: %s, %lld x %lld tokens, %d threads\n%-34s %8s %8s\n", model::kernels::select_kernels().name,
              static_cast<long long>(samples), static_cast<long long>(tokens), at::get_num_threads(), "ms", "forward",
              "backward");
  report("attention, fused", qkv, [&] { return fused.attention(input); });
  const at::Tensor q = random({samples, spec.heads, tokens, spec.head_dim}),
                   k = random({samples, spec.kv_heads, tokens, spec.head_dim}),
                   v = random({samples, spec.kv_heads, tokens, spec.head_dim});
  report("attention, at::sdpa (no rope)", q, [&] {
    return at::scaled_dot_product_attention(q, k, v, {}, 0.0, /*is_causal=*/true, spec.scale, /*enable_gqa=*/true);
  });
  report("attention, plain ops", qkv, [&] { return plain.attention(input); });
  for (auto [name, ops] : {std::pair<const char*, model::Ops*>{"fused", &fused}, {"plain ops", &plain}}) {
    const std::string suffix = std::string(", ") + name;
    report(("rms_norm" + suffix).c_str(), x, [&] { return ops->rms_norm(x, weight, 1e-5); });
    report(("add_rms_norm" + suffix).c_str(), x, [&] { return ops->add_rms_norm(x, delta, weight, 1e-5).second; });
    report(("silu * up" + suffix).c_str(), gate_up,
           [&] { return ops->gated_activation(gate_up, model::Activation::silu); });
  }
  return 0;
}
