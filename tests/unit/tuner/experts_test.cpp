// Blocks with experts: those that few or no tokens go to.
#include <ATen/ATen.h>

#include "support/catch.hpp"
#include "tiny_block.hpp"
#include "tuner/block_tuner.hpp"
#include "tuner/expert_count.hpp"
#include "tuner/rounding_states.hpp"

namespace autoround::tuner {
namespace {

using test::int_format;
using test::linear_name;
using test::TinyBlock;

constexpr std::int64_t experts = 6;
const std::string idle_expert = linear_name("mlp.experts.2.");

/// Gives the block experts in place of its feed-forward network; no token ever goes to the third.
void make_sparse(TinyBlock& block, std::int64_t top_k) {
  auto generator = at::detail::createCPUGenerator(21);
  const std::int64_t hidden = block.spec.hidden_size, width = 32;
  model::ExpertsSpec spec;
  spec.router.scores = model::RouterSpec::Scores::sigmoid;
  spec.router.experts = experts;
  spec.router.top_k = top_k;
  spec.router.correction = true;
  spec.router.normalize = true;
  spec.intermediate = width;
  spec.shared_intermediate = width;
  block.spec.layers[0].experts = spec;

  const auto add = [&](const std::string& name, at::IntArrayRef shape, double spread) {
    block.weights.tensors[linear_name("mlp." + name)] = at::randn(shape, generator).mul_(spread).to(at::kBFloat16);
  };
  const auto network = [&](const std::string& name) {
    add(name + ".gate_proj.weight", {width, hidden}, 0.2);
    add(name + ".up_proj.weight", {width, hidden}, 0.2);
    add(name + ".down_proj.weight", {hidden, width}, 0.2);
  };
  add("gate.weight", {experts, hidden}, 0.2);
  at::Tensor correction = at::zeros({experts});
  correction[2] = -9.0;
  block.weights.tensors[linear_name("mlp.gate.e_score_correction_bias")] = correction;
  for (std::int64_t i = 0; i < experts; ++i) network("experts." + std::to_string(i));
  network("shared_experts");
  block.data.target = block.reference();
}

struct Tuned {
  std::unique_ptr<model::DecoderLayer> layer;
  BlockResult result, nearest;
};

Tuned tune(const TinyBlock& block, TuneOptions options, const quant::WeightFormat& format) {
  const auto run = [&](const TuneOptions& chosen, std::unique_ptr<model::DecoderLayer>& layer) {
    layer = block.layer();
    return tune_block(block.view(*layer), block.data, test::all_linears(*layer, format), chosen, {}, {}, Logger());
  };
  Tuned tuned;
  std::unique_ptr<model::DecoderLayer> other;
  tuned.result = run(options, tuned.layer);
  options.iters = 0;
  tuned.nearest = run(options, other);
  return tuned;
}

bool is_idle(const quant::QuantizedWeight& weight) { return weight.name.rfind(idle_expert, 0) == 0; }

}  // namespace

TEST_CASE("experts: one that no token goes to is rounded to nearest and counted, the others are tuned", "[tuner]") {
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  TinyBlock block(dtype);
  make_sparse(block, 2);
  TuneOptions options;
  options.iters = 40;
  options.batch_size = 4;
  options.fused = GENERATE(true, false);
  const Tuned tuned = tune(block, options, int_format(3, 32, GENERATE(true, false)));

  CHECK(tuned.result.experts == experts);
  CHECK(tuned.result.idle_experts == 1);
  CHECK(tuned.nearest.idle_experts == 1);
  CHECK(tuned.result.best_iteration >= 0);
  CHECK(tuned.result.loss < 0.9 * tuned.result.rtn_loss);
  REQUIRE(tuned.result.weights.size() == 4 + 3 * (experts + 1));
  for (std::size_t i = 0; i < tuned.result.weights.size(); ++i) {
    const auto &weight = tuned.result.weights[i], &nearest = tuned.nearest.weights[i];
    INFO(weight.name);
    CHECK(weight.name == nearest.name);
    CHECK(at::equal(weight.codes, nearest.codes) == is_idle(weight));
    if (is_idle(weight)) CHECK(at::equal(weight.scales, nearest.scales));
    CHECK(at::equal(test::weight_of(*tuned.layer, weight.name), quant::dequantize(weight, dtype)));
  }
}

TEST_CASE("experts: minibatches that miss some of them step the others, and keep what is best of all", "[tuner]") {
  TinyBlock block(at::kFloat, {.samples = 6, .length = 2});
  make_sparse(block, 1);
  TuneOptions options;
  options.iters = 30;
  options.batch_size = 1;  // two tokens: most experts get none
  options.gradient_accumulate_steps = GENERATE(1, 3);
  options.fused = GENERATE(true, false);
  const Tuned tuned = tune(block, options, int_format(3, 32));
  CHECK(tuned.result.losses.size() == 30);
  CHECK(tuned.result.loss <= tuned.result.rtn_loss);
  for (const auto& weight : tuned.result.weights)
    CHECK(at::equal(test::weight_of(*tuned.layer, weight.name), quant::dequantize(weight, at::kFloat)));
}

TEST_CASE("experts: a step takes the gradients of all passes, whichever of them an expert had", "[tuner]") {
  TinyBlock block;
  make_sparse(block, 1);
  const auto layer = block.layer();
  TuneOptions options;
  options.gradient_accumulate_steps = 2;
  RoundingStates states(layer->projections(), test::all_linears(*layer, int_format(4, 32)), options);
  states.write_weights();
  model::Projection* projection = layer->projections()[2];  // of the first expert
  TunedProjection& tuned = *states.find(*projection);
  model::LinearProducts products(true);
  const auto x = at::randn({3, projection->weight.size(1)}), dy = at::randn({3, projection->weight.size(0)});
  const at::Tensor sign = at::sign(dy.t().mm(x));

  states.begin({.first = true, .last = false});
  states.apply_gradient(tuned, dy, x, products);
  states.begin({.first = false, .last = true, .is_best = true});
  CHECK(at::count_nonzero(tuned.parts[0].state.value).item<std::int64_t>() == 0);
  states.finish_step();
  const at::Tensor moved = at::cat({tuned.parts[0].state.value, tuned.parts[1].state.value});
  CHECK(at::equal(at::sign(moved), -sign));
  CHECK(tuned.parts[0].state.best_codes.defined());

  // The next step begins with nothing: one pass of it, and no more.
  const at::Tensor before = moved.clone();
  states.begin({.first = true, .last = true});
  states.apply_gradient(tuned, -dy, x, products);
  states.finish_step();
  CHECK(at::allclose(at::cat({tuned.parts[0].state.value, tuned.parts[1].state.value}), at::zeros_like(before), 0, 1e-6));
}

TEST_CASE("experts: a static scale of an input that was never seen is that of the largest of its kind", "[tuner]") {
  TinyBlock block;
  make_sparse(block, 2);
  quant::WeightFormat format = int_format(8, -1);
  format.input.emplace();
  format.input->group = 0;
  format.input->is_static = true;
  TuneOptions options;
  options.iters = 0;
  const Tuned tuned = tune(block, options, format);
  std::map<std::string, double> largest;  // by the last part of the name
  const auto kind = [](const quant::QuantizedWeight& weight) { return weight.name.substr(weight.name.rfind('.')); };
  for (const auto& weight : tuned.result.weights)
    if (!is_idle(weight) && weight.name.find(".experts.") != std::string::npos)
      largest[kind(weight)] = std::max(largest[kind(weight)], weight.input.scale.item<double>());
  std::int64_t checked = 0;
  for (const auto& weight : tuned.result.weights) {
    if (!is_idle(weight)) continue;
    CHECK(weight.input.scale.item<double>() == largest.at(kind(weight)));
    ++checked;
  }
  CHECK(checked == 3);
}

TEST_CASE("experts: tokens of padding do not count", "[tuner]") {
  BlockData data;
  data.lengths = {1, 2};
  data.length = 2;
  model::AtenOps inner;
  ExpertCount count(data, inner);
  CHECK(count.experts() == 0);
  count.routed(&data, at::tensor({0, 1, 2, 3}, at::kLong).view({4, 1}), 6);  // the second token is padding
  CHECK(count.experts() == 6);
  CHECK(count.idle() == 3);
  count.routed(&data, at::tensor({4, 5}, at::kLong).view({2, 1}), 6);  // the first sample again
  CHECK(count.idle() == 2);
}

}  // namespace autoround::tuner
