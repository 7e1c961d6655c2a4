#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include "model/kernels/kernels.hpp"
#include "model/ops.hpp"
#include "reference.hpp"
#include "support/catch.hpp"

namespace autoround::model {
namespace {

struct Case {
  const char* what;
  std::int64_t sequence, batch, heads, kv_heads, head_dim, rotary_dim, window;
  bool qk_norm;
  double softcap = 0.0;
  bool sinks = false;
  bool wide_norm = false;
};

/// Inputs of a case and their gradient, and the same as double.
struct Problem {
  explicit Problem(const Case& c, at::ScalarType type = at::kBFloat16) : batch(c.batch), has_norm(c.qk_norm) {
    spec.heads = c.heads;
    spec.kv_heads = c.kv_heads;
    spec.head_dim = c.head_dim;
    spec.window = c.window;
    spec.softcap = c.softcap;
    spec.sinks = c.sinks;
    spec.scale = 1.0 / std::sqrt(static_cast<double>(c.head_dim));
    const std::int64_t rows = c.batch * c.sequence;
    qkv = reference::random({rows, (c.heads + 2 * c.kv_heads) * c.head_dim}, type, 1).requires_grad_(true);
    grad = reference::random({rows, c.heads * c.head_dim}, type, 2);
    q_norm = 1.0 + 0.2 * reference::random({c.head_dim}, type, 3);
    k_norm = 1.0 + 0.2 * reference::random({c.head_dim}, type, 4);
    if (c.wide_norm) {
      q_norm = 1.0 + 0.2 * reference::random({c.head_dim}, at::kFloat, 3);
      k_norm = 1.0 + 0.2 * reference::random({c.head_dim}, at::kFloat, 4);
    }
    if (c.sinks) sinks = 2.0 * reference::random({c.heads}, type, 5);
    has_rope = c.rotary_dim > 0;
    // One position more than there are tokens: tables are made for the longest sequence.
    if (has_rope) rope = reference::rope_table(c.sequence + 1, c.rotary_dim);
  }

  AttentionInput input(const at::Tensor& rows, const RopeTable* table) const {
    AttentionInput input;
    input.qkv = rows;
    input.batch = batch;
    input.spec = &spec;
    input.rope = table;
    if (has_norm) {
      const bool reference = rows.scalar_type() == at::kDouble;
      input.q_norm = reference ? q_norm.to(at::kDouble) : q_norm;
      input.k_norm = reference ? k_norm.to(at::kDouble) : k_norm;
    }
    input.sinks = sinks;
    return input;
  }

  at::Tensor fused() const {
    FusedOps ops;
    return ops.attention(input(qkv, has_rope ? &rope : nullptr));
  }
  at::Tensor gradient(const at::Tensor& out) const { return torch::autograd::grad({out}, {qkv}, {grad})[0]; }

  std::int64_t batch;
  bool has_norm;
  AttentionSpec spec;
  at::Tensor qkv, grad, q_norm, k_norm, sinks;
  RopeTable rope;
  bool has_rope = false;
};

bool same_bytes(const at::Tensor& a, const at::Tensor& b) { return at::equal(a.view(at::kByte), b.view(at::kByte)); }

bool has_nan(const at::Tensor& x) { return x.isnan().any().item<bool>(); }

class Threads {
 public:
  explicit Threads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

}  // namespace

TEST_CASE("fused attention: output and gradient are the mathematical ones", "[attention]") {
  const Case c = GENERATE(values<Case>({
      {"one token", 1, 3, 4, 4, 64, 64, 0, false},
      {"less than a strip", 7, 2, 3, 1, 64, 64, 0, false},
      {"one block", 64, 2, 4, 4, 64, 64, 0, false},
      {"a block and a part", 100, 2, 6, 2, 64, 64, 0, false},
      {"SmolLM2", 256, 2, 9, 3, 64, 64, 0, false},
      {"groups enough for a task each", 130, 6, 9, 3, 64, 64, 0, false},
      {"the same with norms in a window", 130, 8, 4, 2, 128, 128, 100, true},
      {"one query in the last block", 513, 1, 8, 1, 64, 64, 0, false},
      {"no rope", 100, 2, 3, 3, 64, 0, 0, false},
      {"half of each head rotated", 100, 1, 4, 2, 64, 32, 0, false},
      {"a rotation that is no multiple of a vector", 70, 1, 2, 1, 80, 20, 0, false},
      {"window smaller than a strip", 100, 1, 4, 2, 64, 64, 5, false},
      {"window of one", 70, 1, 2, 2, 64, 64, 1, false},
      {"window across blocks", 256, 1, 3, 1, 64, 64, 100, false},
      {"window of a block", 200, 1, 2, 1, 64, 64, 64, false},
      {"window longer than the sequence", 100, 1, 2, 1, 64, 64, 4096, false},
      {"head dimension 128 with norms (Qwen3)", 130, 2, 4, 2, 128, 128, 0, true},
      {"norms without rope", 65, 1, 2, 1, 64, 0, 0, true},
      {"norms in fp32 (Gemma 3)", 90, 3, 4, 2, 128, 128, 70, true, 0.0, false, true},
      {"head dimension 16", 90, 1, 2, 1, 16, 16, 0, false},
      {"head dimension 96", 90, 1, 2, 2, 96, 96, 0, false},
      {"head dimension 256", 90, 1, 2, 1, 256, 64, 0, false},
      {"scores with a soft limit (Gemma 2)", 150, 2, 4, 2, 64, 64, 0, false, 1.5},
      {"a soft limit in a window", 256, 1, 2, 1, 128, 128, 70, true, 1.5},
      {"a limit that is never reached", 70, 1, 2, 1, 64, 64, 0, false, 1e4},
      {"with sinks", 150, 2, 4, 2, 64, 64, 0, false, 0.0, true},
      {"with sinks in a window (gpt-oss)", 200, 5, 4, 2, 64, 64, 128, false, 0.0, true},
      {"a head dimension that no kernel covers", 40, 1, 2, 1, 24, 24, 0, false},
  }));
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  CAPTURE(c.what, type);
  const double part = type == at::kFloat ? 1e-3 : 1.0;  // of the errors of bf16
  const Problem problem(c, type);
  const at::Tensor out = problem.fused();
  const at::Tensor wide = reference::leaf(problem.qkv, at::kDouble);
  const at::Tensor wanted = reference::attention(problem.input(wide, problem.has_rope ? &problem.rope : nullptr));
  REQUIRE(out.scalar_type() == type);
  REQUIRE(out.sizes() == wanted.sizes());
  CHECK(reference::relative_error(out, wanted) < 0.006 * part);
  CHECK(reference::worst_element(out, wanted) < 0.1 * part);

  const at::Tensor grad = problem.gradient(out);
  const at::Tensor wanted_grad = torch::autograd::grad({wanted}, {wide}, {problem.grad.to(at::kDouble)})[0];
  const std::int64_t kv = c.kv_heads * c.head_dim;
  const auto check_heads = [&](const char* of, std::int64_t first, std::int64_t columns) {
    CAPTURE(of);
    const at::Tensor wanted_part = wanted_grad.narrow(1, first, columns), got = grad.narrow(1, first, columns);
    if (wanted_part.norm().item<double>() < 1e-6) {  // one visible key: nothing depends on q and k
      CHECK(got.abs().max().item<double>() < 0.05 * part);
      return;
    }
    CHECK(reference::relative_error(got, wanted_part) < 0.01 * part);
    CHECK(reference::worst_element(got, wanted_part) < 0.2 * part);
  };
  check_heads("q", 0, c.heads * c.head_dim);
  check_heads("k", c.heads * c.head_dim, kv);
  check_heads("v", c.heads * c.head_dim + kv, kv);
}

TEST_CASE("fused attention: long sequences need no memory per pair of tokens and stay exact", "[attention]") {
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  const double part = type == at::kFloat ? 1e-3 : 1.0;
  const Problem problem({"long", 1500, 1, 2, 1, 64, 64, 0, false}, type);
  const at::Tensor out = problem.fused();
  const at::Tensor wide = reference::leaf(problem.qkv, at::kDouble);
  const at::Tensor wanted = reference::attention(problem.input(wide, &problem.rope));
  CHECK(reference::relative_error(out, wanted) < 0.006 * part);
  const at::Tensor wanted_grad = torch::autograd::grad({wanted}, {wide}, {problem.grad.to(at::kDouble)})[0];
  CHECK(reference::relative_error(problem.gradient(out), wanted_grad) < 0.01 * part);
  if (const kernels::AttentionKernels* kernel = FusedOps::attention_kernels(type)) {
    kernels::Attention shape;
    shape.heads = shape.kv_heads = 1;
    shape.head_dim = 64;
    shape.sequence = 1024;
    const std::size_t once = kernel->backward->workspace_bytes(shape);
    shape.sequence = 4096;
    CHECK(kernel->backward->workspace_bytes(shape) < 4 * once + 4096);
  }
}

TEST_CASE("fused attention: large scores neither overflow nor lose the winner", "[attention]") {
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  Problem problem({"large", 100, 1, 2, 1, 64, 64, 0, false}, type);
  problem.qkv = (problem.qkv.detach() * 30).requires_grad_(true);
  const at::Tensor out = problem.fused();
  const at::Tensor wide = reference::leaf(problem.qkv, at::kDouble);
  const at::Tensor wanted = reference::attention(problem.input(wide, &problem.rope));
  // Scores of a thousand, of which bf16 keeps eight bits and fp32 24.
  CHECK(reference::relative_error(out, wanted) < (type == at::kFloat ? 1e-4 : 0.15));
  CHECK_FALSE(has_nan(problem.gradient(out)));
}

TEST_CASE("fused attention: the same bytes every time and with any number of threads", "[attention]") {
  const std::int64_t batch = GENERATE(3, 8);  // tasks of a head, and of a group of heads
  const Problem problem({"", 200, batch, 6, 2, 64, 64, 0, false}, GENERATE(at::kBFloat16, at::kFloat));
  at::Tensor first, first_grad;
  for (const int threads : {2, 2, 1, 3}) {
    const Threads guard(threads);
    const at::Tensor out = problem.fused(), grad = problem.gradient(out);
    if (!first.defined()) {
      first = out;
      first_grad = grad;
    }
    CHECK(same_bytes(out, first));
    CHECK(same_bytes(grad, first_grad));
  }
}

TEST_CASE("fused attention: a NaN reaches what depends on it and no other sample", "[attention]") {
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  Problem problem({"", 70, 3, 4, 2, 64, 64, 0, false}, type);
  const std::int64_t column = GENERATE(10, 4 * 64 + 10, 6 * 64 + 10);  // of head 0: q, k, v
  problem.qkv = problem.qkv.detach().clone();
  problem.qkv[70 + 66][column] = std::numeric_limits<float>::quiet_NaN();
  problem.qkv.requires_grad_(true);
  const at::Tensor out = problem.fused(), grad = problem.gradient(out);
  CHECK(has_nan(out[70 + 66].narrow(0, 0, 64)));
  CHECK(has_nan(grad.narrow(0, 70, 70)));
  for (const std::int64_t sample : {0, 2}) {
    CHECK_FALSE(has_nan(out.narrow(0, sample * 70, 70)));
    CHECK_FALSE(has_nan(grad.narrow(0, sample * 70, 70)));
  }
  // Plain ops multiply what a query does not see by zero; the kernel leaves out the blocks after its own.
  if (FusedOps::attention_kernels(type) != nullptr) CHECK_FALSE(has_nan(out.narrow(0, 70, 64)));
}

TEST_CASE("fused attention: a sink of minus infinity is none", "[attention]") {
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  Problem problem({"", 70, 2, 4, 2, 64, 64, 0, false}, type);
  const at::Tensor wanted = problem.fused();
  problem.spec.sinks = true;
  problem.sinks = at::full({4}, -std::numeric_limits<double>::infinity(), type);
  CHECK(same_bytes(problem.fused().detach(), wanted.detach()));
}

TEST_CASE("fused attention: inputs without gradient", "[attention]") {
  const Problem problem({"", 40, 2, 4, 2, 64, 64, 0, false}, GENERATE(at::kBFloat16, at::kFloat));
  FusedOps ops;
  const at::Tensor out = ops.attention(problem.input(problem.qkv.detach(), &problem.rope));
  CHECK_FALSE(out.requires_grad());
  CHECK(same_bytes(out, problem.fused().detach()));
}

}  // namespace autoround::model
