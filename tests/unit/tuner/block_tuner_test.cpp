#include "tuner/block_tuner.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <limits>

#include "base/error.hpp"
#include "layer_kinds.hpp"
#include "support/agreement.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/temporary_directory.hpp"
#include "tiny_block.hpp"

namespace autoround::tuner {
namespace {

using autoround::test::error_of;
using test::int_format;
using test::linear_name;
using test::TinyBlock;

TuneOptions quick(std::int64_t iters = 40) {
  TuneOptions options;
  options.iters = iters;
  options.batch_size = 4;
  return options;
}

struct Run {
  std::unique_ptr<model::DecoderLayer> layer;
  BlockResult result;
  std::vector<Iteration> iterations;
  std::vector<std::string> warnings;
};

using Formats = std::map<std::string, quant::WeightFormat>;

Run tune(const TinyBlock& block, const Formats& formats, const TuneOptions& options) {
  Run run;
  run.layer = block.layer();
  const Logger log(LogLevel::warn, [&](LogLevel, std::string_view text) { run.warnings.emplace_back(text); });
  const auto keep = [&](const Iteration& iteration) { run.iterations.push_back(iteration); };
  run.result = tune_block(block.view(*run.layer), block.data, formats, options, {}, keep, log);
  return run;
}

Run tune(const TinyBlock& block, const TuneOptions& options, int bits = 4) {
  return tune(block, test::all_linears(*block.layer(), int_format(bits, 32)), options);
}

/// Gives the block weights that its format holds exactly, so that round-to-nearest is as good as it gets: tuning can
/// only lose. The target is off by a little noise, so that no loss is zero.
void make_exact(TinyBlock& block) {
  auto generator = at::detail::createCPUGenerator(9);
  for (auto& [name, weight] : block.weights.tensors) {
    if (weight.dim() != 2) continue;
    auto codes = at::randint(-8, 8, weight.sizes(), generator).to(at::kFloat);
    codes.view({-1, 32}).select(1, 0).fill_(-8);
    weight = codes * 0.0078125;
  }
  block.data.target = block.reference();
  block.data.target.add_(at::randn(block.data.target.sizes(), generator), 1e-2);
}

}  // namespace

TEST_CASE("block tuner: beats round-to-nearest and leaves what a loader computes", "[tuner]") {
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const bool symmetric = GENERATE(true, false);
  const TinyBlock block(dtype);
  auto run = tune(block, test::all_linears(*block.layer(), int_format(3, 32, symmetric)), quick(60));
  const auto& result = run.result;

  CHECK(result.loss < 0.9 * result.rtn_loss);
  CHECK(result.best_iteration >= 0);
  CHECK_FALSE(result.fell_back);
  REQUIRE(result.weights.size() == 7);
  for (std::size_t i = 0; i < result.weights.size(); ++i) {
    const auto& weight = result.weights[i];
    CHECK(weight.name == linear_name(test::linear_names[i]));
    CHECK(at::equal(test::weight_of(*run.layer, weight.name), quant::dequantize(weight, dtype)));
  }
  model::FusedOps ops;
  CHECK(at::equal(result.output, run_block(block.view(*run.layer), block.data.input, block.data.length, 4, ops, {})));
  const auto error = result.output.to(at::kDouble) - block.data.target.to(at::kDouble);
  CHECK(result.loss == Approx(error.square().mean().item<double>()).epsilon(1e-5));
}

TEST_CASE("block tuner: layers of every kind train", "[tuner]") {
  const test::LayerKind kind = GENERATE(from_range(test::layer_kinds));
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  INFO(kind.name);
  const TinyBlock block(dtype, {}, 1, kind.customize);
  const auto result = tune(block, quick(60), 3).result;
  CHECK(result.loss < 0.9 * result.rtn_loss);
  CHECK(result.best_iteration >= 0);
}

TEST_CASE("block tuner: fused and plain operations make the same of layers of every kind, gradients too", "[tuner]") {
  const test::LayerKind kind = GENERATE(from_range(test::layer_kinds));
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  INFO(kind.name);
  const TinyBlock block(dtype, {}, 1, kind.customize);
  const auto layer = block.layer();
  const at::Tensor of_output = at::randn(block.data.input.sizes(), at::detail::createCPUGenerator(3)).to(dtype);
  const auto run = [&](model::Ops& ops) {
    const at::Tensor x = block.data.input.clone().requires_grad_(true);
    const at::Tensor y = layer->forward(x, block.data.input.size(0) / block.data.length, block.rope_table(), ops);
    y.backward(of_output);
    return std::pair{y.detach().to(at::kFloat), x.grad().to(at::kFloat)};
  };
  model::AtenOps plain;
  model::FusedOps fused;
  const auto [output, gradient] = run(plain);
  const auto [fused_output, fused_gradient] = run(fused);
  const auto far = [](const at::Tensor& a, const at::Tensor& b) { return ((a - b).norm() / b.norm()).item<double>(); };
  const double limit = dtype == at::kFloat ? 1e-5 : 2e-2;
  CHECK(far(fused_output, output) < limit);
  CHECK(far(fused_gradient, gradient) < limit);
}

TEST_CASE("block tuner: reports every iteration and keeps the best", "[tuner]") {
  const TinyBlock block;
  const auto run = tune(block, quick(), 3);
  REQUIRE(run.iterations.size() == 40);
  REQUIRE(run.result.losses.size() == 40);
  double best = std::numeric_limits<double>::max();
  std::int64_t best_index = -1;
  for (std::size_t i = 0; i < run.iterations.size(); ++i) {
    const auto& iteration = run.iterations[i];
    CHECK(iteration.index == static_cast<std::int64_t>(i));
    CHECK(static_cast<float>(iteration.loss) == run.result.losses[i]);
    if (iteration.loss < best) {
      best = iteration.loss;
      best_index = iteration.index;
    }
    CHECK(iteration.best_loss == Approx(best).epsilon(1e-6));
    CHECK(iteration.best_index == best_index);
  }
  CHECK(run.result.best_iteration == best_index);
}

TEST_CASE("block tuner: one seed gives one result, another seed another", "[tuner]") {
  const TinyBlock block;
  auto options = quick();
  const auto first = tune(block, options), again = tune(block, options);
  CHECK(test::same_codes(first.result, again.result));
  CHECK(first.result.losses == again.result.losses);
  CHECK(at::equal(first.result.output, again.result.output));
  options.seed = 43;
  CHECK_FALSE(test::same_codes(first.result, tune(block, options).result));
}

TEST_CASE("block tuner: padding teaches nothing", "[tuner]") {
  TinyBlock block;
  const std::int64_t real = 11;
  for (auto& length : block.data.lengths) length = real;
  const auto clean = tune(block, quick());
  const auto padding = [&](at::Tensor& stream) {
    return stream.view({-1, block.data.length, stream.size(1)}).narrow(1, real, block.data.length - real);
  };
  padding(block.data.input).fill_(3.0);
  padding(block.data.target).fill_(-100.0);
  const auto dirty = tune(block, quick());
  CHECK(test::same_codes(clean.result, dirty.result));
  CHECK(clean.result.losses == dirty.result.losses);
  CHECK(clean.result.loss == dirty.result.loss);
}

TEST_CASE("block tuner: cancelling stops before the next iteration", "[tuner]") {
  const TinyBlock block;
  const auto layer = block.layer();
  CancelToken cancel;
  int iterations = 0;
  const auto error = error_of([&] {
    const auto count = [&](const Iteration&) {
      if (++iterations == 3) cancel.request();
    };
    tune_block(block.view(*layer), block.data, test::all_linears(*layer, int_format(4, 32)), quick(), cancel, count,
               {});
  });
  CHECK(error.code() == Code::cancelled);
  CHECK(iterations == 3);
}

TEST_CASE("block tuner: NaN in the input is an error, or round-to-nearest when asked for", "[tuner]") {
  TinyBlock block;
  block.data.input[5][3] = std::numeric_limits<float>::quiet_NaN();
  auto options = quick();
  const auto error = error_of([&] { tune(block, options); });
  CHECK(error.code() == Code::numeric);
  CHECK(error.subject() == "model.layers.0");

  options.rtn_on_nan = true;
  const auto fallen = tune(block, options);
  CHECK(fallen.result.fell_back);
  CHECK(fallen.result.best_iteration == -1);
  CHECK(fallen.warnings.size() == 1);
  CHECK(test::same_codes(fallen.result, tune(TinyBlock(), quick(0)).result));
}

TEST_CASE("block tuner: an exploding loss is an error that names the iteration, or round-to-nearest", "[tuner]") {
  TinyBlock block;
  make_exact(block);
  block.data.target = block.reference().add_(1e-4);
  auto options = quick();
  options.lr = 4.0;
  const auto error = error_of([&] { tune(block, options); });
  CHECK(error.code() == Code::numeric);
  CHECK(error.subject() == "model.layers.0");
  CHECK(std::string(error.what()).find("at iteration 1") != std::string::npos);

  options.rtn_on_nan = true;
  const auto fallen = tune(block, options);
  CHECK(fallen.result.fell_back);
  CHECK(fallen.result.best_iteration == -1);
  CHECK(fallen.result.losses.size() == 2);
  CHECK(fallen.result.loss == fallen.result.rtn_loss);
  CHECK(test::same_codes(fallen.result, tune(block, quick(0)).result));
}

TEST_CASE("block tuner: steps that leave the grid of weights that lie on it are no explosion", "[tuner]") {
  TinyBlock block;
  make_exact(block);
  block.data.target = block.reference().add_(1e-6);
  const auto run = tune(block, quick());
  CHECK(run.result.losses.size() == run.iterations.size());
  CHECK(*std::max_element(run.result.losses.begin(), run.result.losses.end()) > 1e4 * run.result.rtn_loss);
  CHECK(run.result.loss <= run.result.rtn_loss);
}

TEST_CASE("block tuner: without iterations it rounds to nearest", "[tuner]") {
  const TinyBlock block;
  auto run = tune(block, quick(0));
  CHECK(run.iterations.empty());
  CHECK(run.result.losses.empty());
  CHECK(run.result.best_iteration == -1);
  CHECK(run.result.loss == run.result.rtn_loss);
  CHECK_FALSE(run.result.fell_back);
  auto original = block.layer();
  for (const auto& weight : run.result.weights) {
    const auto state = quant::make_rounding_state(weight.format, test::weight_of(*original, weight.name), true, false);
    CHECK(at::equal(weight.codes, quant::quantize(state, weight.name).codes));
    CHECK(at::equal(test::weight_of(*run.layer, weight.name), quant::dequantize(weight, at::kFloat)));
  }
}

TEST_CASE("block tuner: each linear has its own format, and one without stays as it is", "[tuner]") {
  const TinyBlock block;
  const auto q = linear_name("self_attn.q_proj"), k = linear_name("self_attn.k_proj");
  const auto v = linear_name("self_attn.v_proj");
  auto formats = test::all_linears(*block.layer(), int_format(4, 32));
  formats[q] = int_format(2, 16);
  formats[k] = int_format(8, -1, false);
  formats.erase(v);
  formats.erase(linear_name("mlp.down_proj"));
  formats["model.layers.1.mlp.up_proj"] = int_format(4, 32);  // another layer's
  auto run = tune(block, formats, quick());
  CHECK(run.result.loss < run.result.rtn_loss);
  REQUIRE(run.result.weights.size() == 5);
  CHECK(run.result.weights[0].name == q);
  CHECK(run.result.weights[0].scales.sizes() == at::IntArrayRef({64, 4}));
  CHECK(run.result.weights[1].name == k);
  CHECK(run.result.weights[1].scales.numel() == 32);
  auto original = block.layer();
  for (const auto& name : {v, linear_name("mlp.down_proj")}) {
    CHECK(at::equal(test::weight_of(*run.layer, name), test::weight_of(*original, name)));
  }
  CHECK_FALSE(at::equal(test::weight_of(*run.layer, q), test::weight_of(*original, q)));
}

TEST_CASE("block tuner: a layer without quantized linears is only run", "[tuner]") {
  const TinyBlock block;
  const auto run = tune(block, {}, quick());
  CHECK(run.result.weights.empty());
  CHECK(run.iterations.empty());
  CHECK(run.result.loss == Approx(0.0).margin(1e-9));
  CHECK(at::allclose(run.result.output, block.data.target, 1e-3, 1e-4));
}

TEST_CASE("block tuner: dynamic_max_gap stops when the loss no longer falls", "[tuner]") {
  TinyBlock block;
  make_exact(block);
  auto options = quick(30);
  options.batch_size = 12;  // one minibatch: the first iteration, round-to-nearest, stays the best
  options.lr = 1.0;
  options.dynamic_max_gap = 3;
  const auto run = tune(block, options);
  CHECK(run.result.losses.size() == 4);
  CHECK(run.result.best_iteration == 0);
  options.dynamic_max_gap = -1;
  CHECK(tune(block, options).result.losses.size() == 30);
}

TEST_CASE("block tuner: tuned weights that are worse on all samples are not kept", "[tuner]") {
  TinyBlock block;
  make_exact(block);
  auto options = quick(5);
  options.lr = 1.0;
  options.not_use_best_mse = true;
  const auto run = tune(block, options);
  CHECK(run.result.losses.back() > run.result.rtn_loss);
  CHECK(run.result.best_iteration == -1);
  CHECK(run.result.loss == run.result.rtn_loss);
  CHECK_FALSE(run.result.fell_back);
  CHECK(run.warnings.size() == 1);
  CHECK(test::same_codes(run.result, tune(block, quick(0)).result));
}

TEST_CASE("block tuner: not_use_best_mse keeps the last iteration", "[tuner]") {
  const TinyBlock block;
  auto options = quick(30);
  options.not_use_best_mse = true;
  const auto run = tune(block, options);
  CHECK(run.result.best_iteration == 29);
  CHECK(run.result.loss < run.result.rtn_loss);
}

TEST_CASE("block tuner: fewer samples than a batch, and batches that do not divide", "[tuner]") {
  test::BlockShape shape;
  shape.samples = 3;
  const TinyBlock block(at::kFloat, shape);
  auto options = quick();
  options.batch_size = 8;
  CHECK(tune(block, options, 3).result.loss < tune(block, options, 3).result.rtn_loss);
  options.batch_size = 2;
  options.gradient_accumulate_steps = 4;  // a step of 3 samples, passes of 2 and 1
  CHECK(tune(block, options, 3).result.loss < tune(block, options, 3).result.rtn_loss);
}

TEST_CASE("block tuner: accumulated gradients tune like one large batch", "[tuner]") {
  const TinyBlock block;
  auto whole = quick(), parts = quick();
  parts.batch_size = 2;
  parts.gradient_accumulate_steps = 2;
  const auto a = tune(block, whole, 3), b = tune(block, parts, 3);
  CHECK(b.result.losses.front() == Approx(a.result.losses.front()).epsilon(1e-4));
  CHECK(b.result.loss == Approx(a.result.loss).epsilon(0.1));
}

TEST_CASE("block tuner: momentum changes the steps, in the same way with and without fused kernels elsewhere",
          "[tuner]") {
  const TinyBlock block;
  auto options = quick();
  const auto without = tune(block, options);
  options.momentum = 0.9;
  const auto with = tune(block, options);
  CHECK(with.result.losses.front() == without.result.losses.front());  // nothing has moved yet
  CHECK(with.result.losses.back() != without.result.losses.back());
  CHECK(with.result.loss < with.result.rtn_loss);
}

TEST_CASE("block tuner: options that make no sense are refused", "[tuner]") {
  const TinyBlock block;
  auto options = quick();
  options.momentum = 1.0;
  CHECK(error_of([&] { tune(block, options); }).subject() == "momentum");
  options = quick();
  options.iters = -1;
  CHECK(error_of([&] { tune(block, options); }).code() == Code::invalid_argument);
  options = quick();
  options.batch_size = 0;
  CHECK(error_of([&] { tune(block, options); }).subject() == "batch_size");
}

TEST_CASE("block tuner: the caller's gradient mode is left as it was", "[tuner]") {
  const TinyBlock block;
  const bool enabled = GENERATE(true, false);
  const at::AutoGradMode mode(enabled);
  const auto run = tune(block, quick(3));
  CHECK(at::GradMode::is_enabled() == enabled);
  CHECK_FALSE(run.result.output.requires_grad());
}

TEST_CASE("run_block: chunks give what the whole gives, and can be cancelled", "[tuner]") {
  const TinyBlock block;
  const auto layer = block.layer();
  model::AtenOps ops;
  const auto whole = run_block(block.view(*layer), block.data.input, block.data.length, 12, ops, {});
  const auto chunks = run_block(block.view(*layer), block.data.input, block.data.length, 5, ops, {});
  CHECK(at::allclose(whole, chunks, 1e-5, 1e-6));
  CancelToken cancel;
  cancel.request();
  CHECK(error_of([&] { run_block(block.view(*layer), block.data.input, block.data.length, 5, ops, cancel); }).code() ==
        Code::cancelled);
}

TEST_CASE("block tuner: streams in files change no bit", "[tuner]") {
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const auto result = [&](model::StreamArena streams) {
    TinyBlock block(dtype);
    block.data.streams = std::move(streams);
    return tune(block, quick()).result;
  };
  const autoround::test::TemporaryDirectory folder;
  const BlockResult inside = result({}), outside = result({folder.path(), 1, 1 << 20});
  CHECK(test::same_codes(inside, outside));
  CHECK(inside.losses == outside.losses);
  CHECK(inside.loss == outside.loss);
  CHECK(at::equal(inside.output, outside.output));
}

TEST_CASE("block tuner: smaller passes see the same samples and differ by the order of sums", "[tuner]") {
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const auto result = [&](std::int64_t micro_batch, std::int64_t accumulate) {
    const TinyBlock block(dtype);
    TuneOptions options = quick();
    options.gradient_accumulate_steps = accumulate;
    options.micro_batch = micro_batch;
    return tune(block, options).result;
  };
  const std::int64_t accumulate = GENERATE(1, 2), micro_batch = GENERATE(1, 3);
  CAPTURE(dtype, accumulate, micro_batch);
  const BlockResult whole = result(0, accumulate), split = result(micro_batch, accumulate);
  CHECK(split.rtn_loss == Approx(whole.rtn_loss).epsilon(1e-3));
  CHECK(split.losses.front() == Approx(whole.losses.front()).epsilon(1e-3));  // before the first step
  // In bf16 a sum in another order is another number, and from there on the runs go ways of their own, none of them
  // better.
  CHECK(split.loss == Approx(whole.loss).epsilon(dtype == at::kFloat ? 0.01 : 0.1));
  CHECK(autoround::test::agreement(whole.weights, split.weights) > (dtype == at::kFloat ? 0.99 : 0.7));
}

}  // namespace autoround::tuner
