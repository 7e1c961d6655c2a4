#include "tuner/quant_ops.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/log.hpp"
#include "checkpoint/checkpoint.hpp"
#include "model/causal_lm.hpp"
#include "support/catch.hpp"
#include "support/ticks.hpp"
#include "tiny_block.hpp"
#include "tuner/block_loss.hpp"

namespace autoround::tuner {
namespace {

using test::int_format;
using test::TinyBlock;

at::Tensor forward(const Block& block, const BlockData& data, model::Ops& ops) {
  const at::AutoGradMode record(true);
  return block.forward(data.input, static_cast<std::int64_t>(data.lengths.size()), ops);
}

double backward(const BlockData& data, const at::Tensor& output) {
  at::Tensor gradient = at::empty_like(output);
  const double loss = squared_error(output, data.target, data.lengths, data.length, &gradient);
  output.backward(gradient);
  return loss;
}

std::vector<at::Tensor> values_of(const Block& block, RoundingStates& states) {
  std::vector<at::Tensor> values;
  for (auto* projection : block.projections()) {
    for (auto& part : states.find(*projection)->parts) values.push_back(quant::test::numbers(part.state));
  }
  return values;
}

/// V of each linear, in forward order, after one iteration on all samples.
std::vector<at::Tensor> values_after_one_step(std::unique_ptr<model::DecoderLayer> layer, const model::RopeTable* rope,
                                              const BlockData& data, bool fused, double* loss) {
  const DecoderBlock block(*layer, rope);
  TuneOptions options;
  options.arithmetic.fused = fused;
  RoundingStates states(layer->projections(), test::all_linears(*layer, int_format(4, 32)), options);
  states.write_weights();
  model::AtenOps plain_ops;
  model::FusedOps fused_ops;
  QuantOps ops(states, fused ? fused_ops : plain_ops);
  *loss = backward(data, forward(block, data, ops));
  return values_of(block, states);
}

double sign_agreement(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double agree = 0.0, all = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    agree += at::eq(at::sign(a[i]), at::sign(b[i])).sum().item<double>();
    all += static_cast<double>(a[i].numel());
  }
  return agree / all;
}

/// W' in differentiable LibTorch operations, written from the definition of the symmetric format: an oracle that shares
/// no code with quant/.
at::Tensor straight_through(const at::Tensor& weight, const at::Tensor& value, int bits, std::int64_t group,
                            at::ScalarType scale_type) {
  const double half = static_cast<double>(1 << (bits - 1));
  const auto groups = weight.view({weight.size(0), -1, group});
  const auto low = -groups.amin(-1, true).clamp_max(0), high = groups.amax(-1, true).clamp_min(0);
  const auto sign = at::where(high < low, at::ones_like(low), -at::ones_like(low));
  const auto scale = (sign * at::maximum(low, high) / half).to(scale_type).to(at::kFloat);
  const auto exact = groups / scale + value.view_as(groups);
  const auto rounded = exact + (exact.round() - exact).detach();
  return (rounded.clamp(-half, half - 1) * scale).view_as(weight);
}

}  // namespace

TEST_CASE("quant ops: one step is the sign of autograd's gradient of V", "[tuner]") {
  const TinyBlock block;
  double loss = 0.0;
  const bool fused = GENERATE(false, true);
  const auto stepped = values_after_one_step(block.layer(), &block.rope, block.data, fused, &loss);

  const auto layer = block.layer();
  std::vector<at::Tensor> values;
  for (auto* projection : layer->projections()) {
    const at::AutoGradMode record(true);
    values.push_back(at::zeros_like(projection->weight).requires_grad_());
    projection->weight = straight_through(projection->weight, values.back(), 4, 32, at::kHalf);
  }
  model::AtenOps ops;
  const double expected_loss = backward(block.data, forward(block.view(*layer), block.data, ops));
  CHECK(loss == Approx(expected_loss).epsilon(1e-4));

  std::vector<at::Tensor> steps;  // V moves against its gradient; projections hold their parts as rows
  for (const auto& value : values) steps.push_back(-at::sign(value.grad()));
  std::vector<at::Tensor> joined;
  std::size_t next = 0;
  for (const auto& value : values) {
    std::vector<at::Tensor> rows;
    for (std::int64_t row = 0; row < value.size(0); row += rows.back().size(0)) rows.push_back(stepped[next++]);
    joined.push_back(at::cat(rows));
  }
  REQUIRE(next == stepped.size());
  CHECK(sign_agreement(steps, joined) > 0.999);
  // Of 200 steps the last is a tick, the first 200 of them.
  const float rate = fused ? 200.0f * (1.0f / 200.0f / 200.0f) : 1.0f / 200.0f;
  for (const auto& value : joined) CHECK((value.abs() == rate).logical_or(value == 0).all().item<bool>());
}

TEST_CASE("quant ops: plain and fused kernels take the same first step", "[tuner]") {
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const TinyBlock block(dtype);
  double plain_loss = 0.0, fused_loss = 0.0;
  const auto plain = values_after_one_step(block.layer(), &block.rope, block.data, false, &plain_loss);
  const auto fused = values_after_one_step(block.layer(), &block.rope, block.data, true, &fused_loss);
  CHECK(fused_loss == Approx(plain_loss).epsilon(dtype == at::kFloat ? 1e-4 : 0.02));
  // In bf16 the two round at different places, and gradients of random data are small beside their rounding.
  CHECK(sign_agreement(plain, fused) > (dtype == at::kFloat ? 0.999 : 0.98));
}

TEST_CASE("quant ops: on a real layer fused kernels are as near to exact steps as plain operations", "[tuner]") {
  const auto directory = test::model_directory();
  if (directory.empty()) {
    WARN("skipped: no model; set AUTOROUND_TEST_MODEL to the folder of a checkpoint");
    return;
  }
  const auto checkpoint = checkpoint::Checkpoint::open(directory, Logger());
  const std::int64_t samples = 8, length = 128;
  const auto step = [&](at::ScalarType dtype, bool fused) {
    const model::CausalLm lm(model::read_spec(checkpoint->config()), model::checkpoint_weights(checkpoint), dtype);
    BlockData data;
    data.length = length;
    data.lengths.assign(samples, length);
    data.input = lm.embed(at::arange(samples * length).view({samples, length}) * 37 % lm.spec().vocab_size);
    const model::RopeTable* rope = lm.rope(0, length);
    model::AtenOps ops;
    data.target = run_block(DecoderBlock(*lm.load_layer(0), rope), data.input, length, samples, ops, {});
    double loss = 0.0;
    return values_after_one_step(lm.load_layer(0), rope, data, fused, &loss);
  };
  const auto exact = step(at::kFloat, false), plain = step(at::kBFloat16, false), fused = step(at::kBFloat16, true);
  CHECK(sign_agreement(fused, exact) > sign_agreement(plain, exact) - 0.002);
  CHECK(sign_agreement(fused, plain) > 0.99);
}

TEST_CASE("quant ops: gradients of micro-batches add up to that of the whole", "[tuner]") {
  const TinyBlock block;
  TuneOptions options;
  options.gradient_accumulate_steps = 2;
  const auto layer = block.layer();
  RoundingStates states(layer->projections(), test::all_linears(*layer, int_format(4, 32)), options);
  states.write_weights();
  model::FusedOps inner;
  QuantOps ops(states, inner);
  for (const bool last : {false, true}) {
    const std::int64_t samples = 6, rows = samples * block.data.length, first = last ? rows : 0;
    const auto input = block.data.input.narrow(0, first, rows), target = block.data.target.narrow(0, first, rows);
    at::Tensor output;
    {
      const at::AutoGradMode record(true);
      output = layer->forward(input, samples, &block.rope, ops);
    }
    at::Tensor gradient = at::empty_like(output);
    squared_error(output, target, std::vector<std::int64_t>(6, block.data.length), block.data.length, &gradient);
    states.begin({.first = !last, .last = last, .is_best = false});
    output.backward(gradient);
    const auto& value = states.find(*layer->projections().front())->parts.front().state.value;
    const bool moved = at::count_nonzero(value).item<std::int64_t>() > 0;
    CHECK(moved == last);  // nothing moves before the last pass
  }
  double loss = 0.0;
  const auto whole = values_after_one_step(block.layer(), &block.rope, block.data, true, &loss);
  CHECK(sign_agreement(values_of(block.view(*layer), states), whole) > 0.999);
}

}  // namespace autoround::tuner
