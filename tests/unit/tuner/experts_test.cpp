// Blocks with experts: those that few or no tokens go to.
#include <ATen/ATen.h>

#include <algorithm>

#include "support/catch.hpp"
#include "support/grouping_ops.hpp"
#include "tiny_block.hpp"
#include "tuner/block_tuner.hpp"
#include "tuner/expert_count.hpp"
#include "tuner/quant_ops.hpp"
#include "tuner/rounding_states.hpp"

namespace autoround::tuner {
namespace {

using test::int_format;
using test::linear_name;
using test::make_sparse;
using test::TinyBlock;

constexpr std::int64_t experts = test::sparse_experts;
const std::string idle_expert = linear_name("mlp.experts.2.");

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

TEST_CASE("experts: iterations of a block with experts are not recorded, whether these are tuned or not", "[tuner]") {
  TinyBlock block;
  const auto recorded = [&](const std::string& only) {
    const auto layer = block.layer();
    auto formats = test::all_linears(*layer, int_format(4, 32));
    std::erase_if(formats, [&](const auto& format) { return format.first.find(only) == format.first.npos; });
    REQUIRE_FALSE(formats.empty());
    return RoundingStates(layer->projections(), formats, TuneOptions()).can_record();
  };
  CHECK(recorded(""));
  CHECK(recorded("self_attn"));
  make_sparse(block, 2);
  CHECK_FALSE(recorded(""));
  CHECK_FALSE(recorded("self_attn"));
}

TEST_CASE("experts: one that no token goes to is rounded to nearest and counted, the others are tuned", "[tuner]") {
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  TinyBlock block(dtype);
  make_sparse(block, 2);
  TuneOptions options;
  options.iters = 40;
  options.batch_size = 4;
  options.arithmetic.fused = GENERATE(true, false);
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

TEST_CASE("experts: grouped products take the steps of each expert's own", "[tuner]") {
  TinyBlock block(at::kBFloat16);
  make_sparse(block, 2);
  const std::int64_t passes = GENERATE(1, 2);
  // V of every linear after one step, by operations that group the products of experts or do not.
  const auto values = [&](model::Ops& ops) {
    const auto layer = block.layer();
    TuneOptions options;
    options.gradient_accumulate_steps = passes;
    RoundingStates states(layer->projections(), test::all_linears(*layer, int_format(4, 32)), options);
    states.write_weights();
    QuantOps quantized(states, ops);
    for (std::int64_t pass = 0; pass < passes; ++pass) {
      states.begin({.first = pass == 0, .last = pass == passes - 1, .is_best = false});
      const at::AutoGradMode record(true);
      const at::Tensor out = block.view(*layer).forward(block.data.input, 12, quantized);
      out.backward(out.detach() - block.data.target);
    }
    states.finish_step();
    std::vector<at::Tensor> moved;
    for (auto* projection : layer->projections())
      for (const auto& part : states.find(*projection)->parts) moved.push_back(part.state.value.clone());
    return moved;
  };
  model::AtenOps plain;
  autoround::test::GroupingOps grouping;
  const std::vector<at::Tensor> wanted = values(plain), got = values(grouping);
  CHECK(grouping.products == 2 * passes);
  REQUIRE(got.size() == wanted.size());
  std::size_t still = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(at::eq(got[i], wanted[i]).to(at::kDouble).mean().item<double>() > 0.99);
    still += got[i].abs().max().item<float>() == 0.f;
  }
  CHECK(still == 3);  // of the idle expert
}

TEST_CASE("experts: minibatches that miss some of them step the others, and keep what is best of all", "[tuner]") {
  TinyBlock block(at::kFloat, {.samples = 6, .length = 2});
  make_sparse(block, 1);
  TuneOptions options;
  options.iters = 30;
  options.batch_size = 1;  // two tokens: most experts get none
  options.gradient_accumulate_steps = GENERATE(1, 3);
  options.arithmetic.fused = GENERATE(true, false);
  const Tuned tuned = tune(block, options, int_format(3, 32));
  CHECK(tuned.result.losses.size() == 30);
  CHECK(tuned.result.loss <= tuned.result.rtn_loss);
  for (const auto& weight : tuned.result.weights)
    CHECK(at::equal(test::weight_of(*tuned.layer, weight.name), quant::dequantize(weight, at::kFloat)));
}

TEST_CASE("experts: a step takes the gradients of its passes, though the last has none", "[tuner]") {
  TinyBlock block;
  make_sparse(block, 1);
  at::manual_seed(3);
  const std::int64_t width = 64, hidden = block.spec.hidden_size;  // gate and up of an expert
  const std::vector<at::Tensor> x{at::randn({3, hidden}), at::randn({2, hidden})};
  const std::vector<at::Tensor> gradients{at::randn({3, width}), at::randn({2, width})};

  // V of the first expert's gate, and the codes that were kept, after two steps.
  const auto run = [&](std::int64_t passes) {
    const auto layer = block.layer();
    TuneOptions options;
    options.gradient_accumulate_steps = passes;
    RoundingStates states(layer->projections(), test::all_linears(*layer, int_format(4, 32)), options);
    states.write_weights();
    TunedProjection& tuned = *states.find(*layer->projections()[2]);
    model::LinearProducts products(true);
    for (std::size_t step = 0; step < 2; ++step) {
      for (std::int64_t pass = 0; pass < passes; ++pass) {
        states.begin({.first = pass == 0, .last = pass == passes - 1, .is_best = pass == passes - 1 && step == 1});
        if (pass == 0) states.apply_gradient(tuned, gradients[step], x[step], products);
      }
      states.finish_step();
    }
    return std::pair{tuned.parts[0].state.value.clone(), tuned.parts[0].state.best_codes.clone()};
  };
  const auto [value, codes] = run(3);
  const auto [expected_value, expected_codes] = run(1);
  CHECK(at::count_nonzero(value).item<std::int64_t>() > 0);
  CHECK(at::equal(value, expected_value));
  CHECK(at::equal(codes, expected_codes));
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

TEST_CASE("experts: padding that goes to them counts neither for static scales nor for importance", "[tuner]") {
  TinyBlock block;
  make_sparse(block, 2);
  for (std::size_t i = 0; i < block.data.lengths.size(); ++i)
    block.data.lengths[i] = 1 + static_cast<std::int64_t>(i) % (block.data.length - 1);
  quant::WeightFormat format = int_format(8, -1);
  format.input.emplace();
  format.input->group = 0;
  format.input->is_static = true;
  TuneOptions options, searching;
  options.iters = 0;
  searching.search_scales = true;
  const auto measured = [&] {
    std::vector<float> all;
    for (const auto& weight : tune(block, options, format).result.weights)
      all.push_back(weight.input.scale.item<float>());
    const auto layer = block.layer();
    const auto formats = test::all_linears(*layer, int_format(3, 32));
    for (const auto& [linear, sums] : measure_importance(block.view(*layer), block.data, formats, searching, {}))
      all.push_back(sums.sum().item<float>());
    return all;
  };
  const auto expected = measured();
  CHECK(expected.size() > 2 * 7);
  for (std::size_t i = 0; i < block.data.lengths.size(); ++i) {
    const auto first = static_cast<std::int64_t>(i) * block.data.length;
    for (std::int64_t row = block.data.lengths[i]; row < block.data.length; ++row)
      block.data.input[first + row].mul_(-9.0).select(0, 0).fill_(70.0);
  }
  CHECK(measured() == expected);
}

TEST_CASE("experts: steps without a token for a linear that is tuned leave it as it is", "[tuner]") {
  TinyBlock block;
  make_sparse(block, 2);
  TuneOptions options;
  options.iters = 3;
  options.batch_size = 4;
  options.gradient_accumulate_steps = GENERATE(1, 2);
  const auto layer = block.layer();
  auto formats = test::all_linears(*layer, int_format(4, 32));
  std::erase_if(formats, [](const auto& format) { return format.first.rfind(idle_expert, 0) != 0; });
  REQUIRE(formats.size() == 3);
  const BlockResult result = tune_block(block.view(*layer), block.data, formats, options, {}, {}, Logger());
  CHECK(result.loss == result.rtn_loss);
  CHECK(result.losses.size() == 3);
}

TEST_CASE("experts: gate and up of one share NVFP4's global scale, as readers want it", "[tuner]") {
  TinyBlock block;
  make_sparse(block, 2);
  block.weights.tensors.at(linear_name("mlp.experts.1.up_proj.weight"))[3][5] = 9.0;
  quant::WeightFormat format;
  format.number = quant::Number::nvfp4;
  format.group = 16;
  format.scale_type = at::kFloat8_e4m3fn;
  TuneOptions options;
  options.iters = 0;
  const BlockResult result = tune(block, options, format).result;
  const auto global_scale = [&](const std::string& name) {
    const auto weight = std::find_if(result.weights.begin(), result.weights.end(),
                                     [&](const auto& w) { return w.name == linear_name("mlp.experts." + name); });
    REQUIRE(weight != result.weights.end());
    return weight->global_scale.item<float>();
  };
  CHECK(global_scale("1.gate_proj") == 448.0f * 6.0f / 9.0f);
  CHECK(global_scale("1.up_proj") == global_scale("1.gate_proj"));
  CHECK(global_scale("1.down_proj") != global_scale("1.gate_proj"));
  CHECK(global_scale("0.gate_proj") != global_scale("1.gate_proj"));
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
