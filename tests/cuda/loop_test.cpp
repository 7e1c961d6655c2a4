// Blocks tuned on a GPU: as well as on the CPU, and through the recorded loop as through the plain one.
#include <ATen/ATen.h>

#include <thread>

#include "base/cancel.hpp"
#include "gpu.hpp"
#include "model/forwarding_ops.hpp"
#include "recipe/scheme.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "tuner/block_loss.hpp"
#include "tuner/optimize.hpp"
#include "tuner/rounding_states.hpp"
#include "unit/tuner/layer_kinds.hpp"
#include "unit/tuner/tiny_block.hpp"

namespace autoround::tuner {
namespace {

using test::TinyBlock;

TuneOptions quick(std::int64_t iters = 50) {
  TuneOptions options;
  options.iters = iters;
  options.batch_size = 4;
  return options;
}

BlockData on(const BlockData& data, c10::Device device) {
  BlockData moved = data;
  moved.input = data.input.to(device);
  moved.target = data.target.to(device);
  return moved;
}

/// The layer of `block` with weights on the device, and its rope table there.
struct DeviceLayer {
  explicit DeviceLayer(const TinyBlock& block)
      : weights(model::on_device(std::make_shared<test::MapWeights>(block.weights), gpu)),
        rope(block.rope_table() ? model::RopeTable{block.rope.cos.to(gpu), block.rope.sin.to(gpu)}
                                : model::RopeTable()),
        layer(model::DecoderLayer::load(block.spec, 0, *weights, block.dtype)) {}
  DecoderBlock view() { return {*layer, rope.cos.defined() ? &rope : nullptr}; }

  std::shared_ptr<model::WeightSource> weights;
  model::RopeTable rope;
  std::unique_ptr<model::DecoderLayer> layer;
};

quant::WeightFormat format_of(const std::string& preset) {
  recipe::QuantizationScheme scheme = recipe::preset_scheme(preset);
  if (scheme.weights->group_size == 128) scheme.weights->group_size = 32;
  return quant::weight_format(scheme, at::kBFloat16);
}

BlockResult tune_on_gpu(const TinyBlock& block, const quant::WeightFormat& format, const TuneOptions& options,
                        const CancelToken& cancel = {}, const std::function<void(const Iteration&)>& seen = {},
                        const Logger& log = Logger()) {
  const device::Scope scope(gpu);
  DeviceLayer layer(block);
  const auto formats = test::all_linears(*layer.layer, format);
  return tune_block(layer.view(), on(block.data, gpu), formats, options, cancel, seen, log);
}

BlockResult tune_on_cpu(const TinyBlock& block, const quant::WeightFormat& format, const TuneOptions& options) {
  const auto layer = block.layer();
  return tune_block(block.view(*layer), block.data, test::all_linears(*layer, format), options, {}, {}, Logger());
}

/// By how much the loss of the first few samples may differ. Of W8A8's a quarter is bf16's own rounding: with other
/// kernels the CPU's own moves by up to 4.6 %, all others, and those of all samples, by less than 1.8 %.
double of_first_loss(const std::string& preset, at::ScalarType type) {
  return preset == "W8A8" && type == at::kBFloat16 ? 0.08 : 0.02;
}

/// Logits of a sparse block's router for an input of it, in fp32. That of the expert to which no token goes is lowest.
at::Tensor router_logits(const TinyBlock& block, const at::Tensor& input) {
  const at::Tensor& router = block.weights.tensors.at(test::linear_name("mlp.gate.weight"));
  at::Tensor logits = at::linear(input.to(at::kFloat), router.to(at::kFloat));
  logits.select(1, 2).fill_(std::numeric_limits<float>::lowest());
  return logits;
}

/// Keeps what comes into the router of a sparse block: it comes into the shared expert too.
class RouterInput final : public model::ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;
  at::Tensor linear(const model::Projection& projection, const at::Tensor& x) override {
    if (projection.parts.front().name == test::linear_name("mlp.shared_experts.gate_proj")) seen.push_back(x);
    return inner().linear(projection, x);
  }
  std::vector<at::Tensor> seen;
};

/// Over all tokens the least by which a logit among the two that are chosen exceeds the rest.
double least_lead(const TinyBlock& block) {
  model::AtenOps ops;
  RouterInput router(ops);
  const auto layer = block.layer();
  run_block(block.view(*layer), block.data.input, block.data.length, 4, router, {});
  const at::Tensor best = std::get<0>(router_logits(block, at::cat(router.seen)).topk(3, -1));
  return (best.select(1, 1) - best.select(1, 2)).min().item<double>();
}

/// Experts that tokens choose clearly: each token gets more of what the two that it tends to look for. Among random
/// choices some are ties in bf16, and one token that a last bit sends elsewhere has more loss than all of W8A8.
void make_clearly_sparse(TinyBlock& block) {
  test::make_sparse(block, 2);
  const at::Tensor router = block.weights.tensors.at(test::linear_name("mlp.gate.weight")).to(at::kFloat);
  const at::Tensor input = block.data.input.to(at::kFloat);
  const at::Tensor chosen = std::get<1>(router_logits(block, input).topk(2, -1));
  const at::Tensor wanted = router.index_select(0, chosen.flatten()).view({input.size(0), 2, input.size(1)}).sum(1);
  block.data.input = (input + 2 * wanted).to(block.dtype);
  block.data.target = block.reference();
}

}  // namespace

TEST_CASE("cuda loop: the first losses are within 2 % of the CPU's, those of tuned weights within 10 %", "[cuda]") {
  if (no_gpu()) return;
  // FP8 trains scales of inputs, which is not recorded.
  const std::string preset =
      GENERATE("W4A16", "W2A16", "W4A16_ASYM", "W8A8", "FP8", "FP8_DYNAMIC", "FP8_BLOCK", "MXFP4", "NVFP4", "NVFP4A16");
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  INFO(preset << ", " << type);
  const TinyBlock block(type);
  const BlockResult cpu = tune_on_cpu(block, format_of(preset), quick());
  const BlockResult device = tune_on_gpu(block, format_of(preset), quick());
  CHECK(device.rtn_loss == Approx(cpu.rtn_loss).epsilon(0.02));
  CHECK(device.loss == Approx(cpu.loss).epsilon(0.1));  // a small block's path is sensitive to every last bit
  CHECK(device.losses.front() == Approx(cpu.losses.front()).epsilon(of_first_loss(preset, type)));
  CHECK(device.losses.size() == cpu.losses.size());
  CHECK(device.weights.front().codes.is_cpu());
}

TEST_CASE("cuda loop: experts, their products grouped or, in fp32 or with rounded inputs, one by one", "[cuda]") {
  if (no_gpu()) return;
  const std::string preset = GENERATE("W4A16", "W8A8");
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  INFO(preset << ", " << type);
  TinyBlock block(type);
  make_clearly_sparse(block);
  REQUIRE(least_lead(block) > 1.0);  // weights rounded to W4A16 change a logit by less than 0.3
  TuneOptions options = quick();
  options.gradient_accumulate_steps = GENERATE(1, 2);
  const BlockResult cpu = tune_on_cpu(block, format_of(preset), options);
  const BlockResult device = tune_on_gpu(block, format_of(preset), options);
  // Attention that rounds less than any other moves W8A8's by 2.8 %.
  const double of_all = is_stand_in() && preset == "W8A8" && type == at::kBFloat16 ? 0.04 : 0.02;
  CHECK(device.rtn_loss == Approx(cpu.rtn_loss).epsilon(of_all));
  CHECK(device.losses.front() == Approx(cpu.losses.front()).epsilon(of_first_loss(preset, type)));
  CHECK(device.loss == Approx(cpu.loss).epsilon(0.15));  // of the CPU's kernels among each other: up to 8 %
  CHECK(device.loss < device.rtn_loss);
  CHECK(device.idle_experts == 1);
}

TEST_CASE("cuda loop: accumulation, several options and searched scales", "[cuda]") {
  if (no_gpu()) return;
  TuneOptions options = quick();
  const std::string what = GENERATE("accumulation", "last", "patience", "no minmax", "searched", "plain", "momentum");
  INFO(what);
  if (what == "accumulation") options.gradient_accumulate_steps = 2, options.batch_size = 3;
  if (what == "last") options.not_use_best_mse = true;
  if (what == "patience") options.dynamic_max_gap = 5;
  if (what == "no minmax") options.enable_minmax_tuning = false;
  if (what == "searched") options.search_scales = true;
  if (what == "plain") options.arithmetic.fused = false;
  if (what == "momentum") options.momentum = 0.9;
  const TinyBlock block(at::kFloat);
  const BlockResult cpu = tune_on_cpu(block, format_of("W2A16"), options);
  const BlockResult device = tune_on_gpu(block, format_of("W2A16"), options);
  CHECK(device.rtn_loss == Approx(cpu.rtn_loss).epsilon(0.02));
  CHECK(device.loss == Approx(cpu.loss).epsilon(0.05));
  if (what == "last") CHECK(device.best_iteration == options.iters - 1);
  if (what == "patience") CHECK(device.losses.size() <= 50);
}

TEST_CASE("cuda loop: the first step goes where the CPU's does, in layers of every kind", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const test::LayerKind kind = GENERATE(from_range(test::layer_kinds));
  INFO(kind.name);
  const TinyBlock block(at::kFloat, {}, 1, kind.customize);
  // Codes of the second iteration, whatever its loss is: V has made one step, large enough to show in most of them.
  TuneOptions options = quick(2);
  options.not_use_best_mse = true;
  options.enable_minmax_tuning = false;
  options.lr = 0.45;
  const auto codes = [&](const Block& tuned, model::DecoderLayer& layer, const BlockData& data) {
    RoundingStates states(tuned.projections(), test::all_linears(layer, format_of("W4A16")), options);
    const auto ops = model::make_ops(data.input.device(), options.arithmetic);
    const double no_limit = std::numeric_limits<double>::max();
    optimize(tuned, states, data, options, no_limit, *ops, {}, {});
    return std::pair(states.nearest(), states.best());
  };
  const auto layer = block.layer();
  DeviceLayer there(block);
  const auto [start, cpu] = codes(block.view(*layer), *layer, block.data);
  const auto [start_there, device] = codes(there.view(), *there.layer, on(block.data, gpu));
  REQUIRE(device.size() == cpu.size());
  for (std::size_t i = 0; i < cpu.size(); ++i) {
    INFO(cpu[i].name);
    const auto differ = [](const at::Tensor& a, const at::Tensor& b) {
      return a.ne(b.cpu().view(a.sizes())).to(at::kDouble).mean().item<double>();
    };
    CHECK(differ(start[i].codes, cpu[i].codes) > 0.3);
    CHECK(differ(cpu[i].codes, to_host(device[i]).codes) < 0.01);
  }
}

TEST_CASE("cuda loop: the same again", "[cuda]") {
  if (no_gpu()) return;
  const TinyBlock block(at::kBFloat16);
  TuneOptions options = quick();
  options.arithmetic.deterministic = GENERATE(false, true);
  const BlockResult first = tune_on_gpu(block, format_of("W4A16"), options);
  const BlockResult second = tune_on_gpu(block, format_of("W4A16"), options);
  CHECK(first.losses == second.losses);
  CHECK(test::same_codes(first, second));
}

TEST_CASE("cuda loop: every iteration is reported once and in order, and cancel ends the loop", "[cuda]") {
  if (no_gpu()) return;
  const TinyBlock block(at::kBFloat16);
  std::vector<std::int64_t> seen;
  tune_on_gpu(block, format_of("W4A16"), quick(20), {}, [&](const Iteration& it) { seen.push_back(it.index); });
  REQUIRE(seen.size() == 20);
  for (std::size_t i = 0; i < seen.size(); ++i) CHECK(seen[i] == static_cast<std::int64_t>(i));

  CancelToken cancel;
  seen.clear();
  CHECK_THROWS_AS(tune_on_gpu(block, format_of("W4A16"), quick(1000), cancel,
                              [&](const Iteration& it) {
                                seen.push_back(it.index);
                                if (it.index == 10) cancel.request();
                              }),
                  Error);
  CHECK(seen.size() <= 16);
  CHECK(tune_on_gpu(block, format_of("W4A16"), quick(5)).losses.size() == 5);  // nothing is left behind
}

TEST_CASE("cuda loop: what is not finite is said, or rounded to nearest", "[cuda]") {
  if (no_gpu()) return;
  TinyBlock block(at::kFloat);
  block.data.target[3].fill_(std::numeric_limits<float>::infinity());
  CHECK_THROWS_AS(tune_on_gpu(block, format_of("W4A16"), quick()), Error);
  TuneOptions options = quick();
  options.rtn_on_nan = true;
  CHECK(tune_on_gpu(block, format_of("W4A16"), options).fell_back);
}

TEST_CASE("cuda loop: iterations of dense blocks are recorded", "[cuda]") {
  if (no_gpu()) return;
  const std::string preset = GENERATE("W4A16", "W8A8", "MXFP4", "NVFP4");
  const bool deterministic = GENERATE(false, true);
  INFO(preset << ", deterministic " << deterministic);
  TuneOptions options = quick(5);
  options.arithmetic.deterministic = deterministic;
  std::string said;
  const Logger log(LogLevel::warn, [&](LogLevel, std::string_view text) { said.append(text).append("\n"); });
  tune_on_gpu(TinyBlock(at::kBFloat16), format_of(preset), options, {}, {}, log);
  CHECK(said.find("one by one") == said.npos);
}

TEST_CASE("cuda loop: a block whose experts are not tuned is tuned", "[cuda]") {
  if (no_gpu()) return;
  TinyBlock block(at::kBFloat16);
  make_clearly_sparse(block);
  const device::Scope scope(gpu);
  DeviceLayer layer(block);
  auto formats = test::all_linears(*layer.layer, format_of("W4A16"));
  std::erase_if(formats, [](const auto& format) { return format.first.find(".experts.") != format.first.npos; });
  REQUIRE(formats.size() >= 4);
  const BlockResult result = tune_block(layer.view(), on(block.data, gpu), formats, quick(), {}, {}, Logger());
  CHECK(result.losses.size() == 50);
  CHECK(result.loss <= result.rtn_loss);
}

TEST_CASE("cuda loop: blocks tuned at once in two threads are those tuned one after the other", "[cuda]") {
  if (no_gpu()) return;
  TuneOptions options = quick(100);
  options.arithmetic.deterministic = true;
  const TinyBlock first(at::kBFloat16), second(at::kBFloat16, {}, 2);
  const auto tune = [&](const TinyBlock& block) { return tune_on_gpu(block, format_of("W4A16"), options); };
  const BlockResult alone = tune(first), other_alone = tune(second);
  for (int i = 0; i < 3; ++i) {
    BlockResult one;
    std::thread thread([&] { one = tune(first); });
    const BlockResult other = tune(second);
    thread.join();
    CHECK(one.losses == alone.losses);
    CHECK(other.losses == other_alone.losses);
    CHECK((test::same_codes(one, alone) && test::same_codes(other, other_alone)));
  }
}

TEST_CASE("cuda loop: the current device and stream are left as they were", "[cuda]") {
  if (no_gpu()) return;
  const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
  const c10::Stream before = guard.getStream(gpu);
  tune_on_gpu(TinyBlock(at::kBFloat16), format_of("W4A16"), quick(3));
  CHECK(guard.getStream(gpu) == before);
}

TEST_CASE("cuda loop: loss and outliers are those of the CPU", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  const at::Tensor prediction = at::randn({40, 96}).to(type), target = at::randn({40, 96}).to(type);
  const std::vector<std::int64_t> lengths{10, 7, 0, 10};
  for (const bool drops : {false, true}) {
    std::optional<Outliers> few, few_there;
    if (drops) {
      few.emplace(prediction, target, lengths, 10, 0.01);
      few_there.emplace(prediction.to(gpu), target.to(gpu), lengths, 10, 0.01);
    }
    at::Tensor gradient = at::empty_like(prediction), there = at::empty_like(prediction, at::device(gpu));
    const double error = squared_error(prediction, target, lengths, 10, &gradient, 3.f, drops ? &*few : nullptr);
    const double other =
        squared_error(prediction.to(gpu), target.to(gpu), lengths, 10, &there, 3.f, drops ? &*few_there : nullptr);
    CHECK(other == Approx(error).epsilon(1e-5));
    CHECK(gradient.equal(there.cpu()));
  }
}

}  // namespace autoround::tuner
