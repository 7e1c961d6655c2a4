#include "tuner/block.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "support/catch.hpp"
#include "tiny_block.hpp"
#include "tuner/block_loss.hpp"
#include "tuner/quant_ops.hpp"

namespace autoround::tuner {
namespace {

using test::int_format;
using test::TinyBlock;

/// Two layers in a row: the tiny block and one with the rows of its weights in another order.
struct Pair {
  explicit Pair(at::ScalarType dtype = at::kFloat) : block(dtype) {
    block.spec.layers.push_back(block.spec.layers.front());
    const std::string first = "model.layers.0.", second = "model.layers.1.";
    const auto tensors = block.weights.tensors;
    for (const auto& [name, weight] : tensors)
      block.weights.tensors[second + name.substr(first.size())] = weight.flip(0).contiguous();
    for (std::size_t i = 0; i < 2; ++i)
      layers.push_back(model::DecoderLayer::load(block.spec, i, block.weights, dtype));
    block.data.target = run(chain());
  }
  DecoderBlock chain() const { return DecoderBlock({{layers[0].get(), &block.rope}, {layers[1].get(), &block.rope}}); }
  at::Tensor run(const Block& view) const {
    model::FusedOps ops;
    return run_block(view, block.data.input, block.data.length, 4, ops, {});
  }
  std::map<std::string, quant::WeightFormat> formats(int bits) const {
    auto all = test::all_linears(*layers[0], int_format(bits, 32));
    all.merge(test::all_linears(*layers[1], int_format(bits, 32)));
    return all;
  }

  TinyBlock block;
  std::vector<std::unique_ptr<model::DecoderLayer>> layers;
};

}  // namespace

TEST_CASE("block: decoder layers in a row", "[tuner]") {
  const Pair pair;
  const DecoderBlock chain = pair.chain();
  CHECK(chain.name() == "model.layers.0-1");
  CHECK(chain.projections().size() == 8);
  CHECK(pair.block.view(*pair.layers[1]).name() == "model.layers.1");

  model::FusedOps ops;
  const BlockData& data = pair.block.data;
  const at::Tensor between = pair.run(pair.block.view(*pair.layers[0]));
  const at::Tensor output = run_block(pair.block.view(*pair.layers[1]), between, data.length, 4, ops, {});
  CHECK(at::equal(pair.run(chain), output));
}

TEST_CASE("block: one step moves every weight of a row of layers, fused as by plain operations", "[tuner]") {
  const auto values = [](bool fused) {
    const Pair pair;
    const DecoderBlock chain = pair.chain();
    const BlockData& data = pair.block.data;
    TuneOptions options;
    options.arithmetic.fused = fused;
    RoundingStates states(chain.projections(), pair.formats(4), options);
    states.write_weights();
    model::AtenOps plain_ops;
    model::FusedOps fused_ops;
    QuantOps ops(states, fused ? fused_ops : plain_ops);
    at::Tensor output;
    {
      const at::AutoGradMode record(true);
      output = chain.forward(data.input, static_cast<std::int64_t>(data.lengths.size()), ops);
    }
    at::Tensor gradient = at::empty_like(output);
    squared_error(output, data.target, data.lengths, data.length, &gradient);
    output.backward(gradient);
    std::vector<at::Tensor> all;
    for (const auto* projection : chain.projections())
      for (const auto& part : states.find(*projection)->parts) all.push_back(at::sign(part.state.value).flatten());
    return at::cat(all);
  };
  const at::Tensor plain = values(false), fused = values(true);
  CHECK(at::count_nonzero(plain).item<std::int64_t>() > 0.99 * static_cast<double>(plain.numel()));
  CHECK(at::eq(plain, fused).to(at::kFloat).mean().item<double>() > 0.999);
}

TEST_CASE("block tuner: layers are tuned together against the last one's output", "[tuner]") {
  Pair pair(GENERATE(at::kFloat, at::kBFloat16));
  TuneOptions options;
  options.iters = 60;
  options.batch_size = 4;
  options.arithmetic.fused = GENERATE(true, false);
  const auto rounded = round_block(pair.chain(), pair.formats(3));
  const auto result = tune_block(pair.chain(), pair.block.data, pair.formats(3), options, {}, {}, Logger());
  CAPTURE(result.rtn_loss, result.loss);
  CHECK(result.loss < 0.9 * result.rtn_loss);
  REQUIRE(result.weights.size() == 14);
  for (std::size_t i = 0; i < result.weights.size(); ++i) {
    CHECK(result.weights[i].name == rounded[i].name);
    CHECK_FALSE(at::equal(result.weights[i].codes, rounded[i].codes));  // gradients reach the first layer too
  }
  CHECK(result.weights[0].name == "model.layers.0.self_attn.q_proj");
  CHECK(result.weights[13].name == "model.layers.1.mlp.down_proj");

  const auto weights = result.weights;
  Pair again(pair.block.dtype);
  CHECK(at::equal(rerun_block(again.chain(), pair.block.data, weights, options, {}), result.output));
}

TEST_CASE("block tuner: one linear layer, wider in than out", "[tuner]") {
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  auto generator = at::detail::createCPUGenerator(3);
  model::Projection projection;
  projection.weight = at::randn({24, 64}, generator).mul_(0.1).to(at::kBFloat16).to(dtype);
  projection.bias = at::randn({24}, generator).to(at::kBFloat16).to(dtype);
  projection.parts = {{.name = "proj", .rows = 24}};
  const at::Tensor original = projection.weight;
  const LinearBlock block(projection);

  BlockData data;
  data.length = 8;
  data.lengths = std::vector<std::int64_t>(16, 8);
  data.lengths[3] = 5;
  const at::Tensor mixing = at::randn({64, 64}, generator).mul_(0.3);
  data.input = at::randn({128, 64}, generator).matmul(mixing).to(dtype);
  model::FusedOps ops;
  data.target = run_block(block, data.input, data.length, 4, ops, {});
  CHECK(data.target.sizes() == at::IntArrayRef({128, 24}));

  TuneOptions options;
  options.iters = 60;
  options.batch_size = 4;
  const auto result =
      tune_block(block, data, {{"proj", int_format(3, 32)}, {"other", int_format(4, 32)}}, options, {}, {}, Logger());
  CAPTURE(result.rtn_loss, result.loss);
  CHECK(result.loss < 0.8 * result.rtn_loss);
  REQUIRE(result.weights.size() == 1);
  CHECK(at::equal(projection.weight, quant::dequantize(result.weights[0], dtype)));
  CHECK_FALSE(projection.weight.is_same(original));
  CHECK(at::equal(result.output, run_block(block, data.input, data.length, 4, ops, {})));
}

}  // namespace autoround::tuner
