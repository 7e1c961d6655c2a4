// Blocks of floating-point weights and rounded inputs.
#include <ATen/ATen.h>

#include "base/error.hpp"
#include "recipe/scheme.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "tiny_block.hpp"
#include "tuner/tuned_input.hpp"

namespace autoround::tuner {
namespace {

using autoround::test::error_of;
using test::linear_name;
using test::TinyBlock;

TuneOptions quick() {
  TuneOptions options;
  options.iters = 200;  // with larger steps values near zero leave the fine part of a floating-point grid
  options.batch_size = 4;
  return options;
}

using Formats = std::map<std::string, quant::WeightFormat>;

BlockResult tune(const TinyBlock& block, const Formats& formats, const TuneOptions& options = quick()) {
  const auto layer = block.layer();
  return tune_block(block.view(*layer), block.data, formats, options, {}, {}, Logger());
}

BlockResult tune(const TinyBlock& block, const std::string& preset, const TuneOptions& options = quick()) {
  return tune(block, test::all_linears(*block.layer(), test::preset_format(preset)), options);
}

}  // namespace

TEST_CASE("number formats: tuning beats round-to-nearest", "[tuner]") {
  // What is left to win: much where numbers are far apart, little where inputs are the coarse part.
  const auto [preset, share] = GENERATE(table<std::string, double>({{"MXFP4A16", 0.8},
                                                                    {"NVFP4A16", 0.8},
                                                                    {"MXFP6A16", 0.8},
                                                                    {"FP8_BLOCK", 0.97},
                                                                    {"W4A8", 0.8},
                                                                    {"W4AFP8", 0.9},
                                                                    {"MXFP4", 0.97},
                                                                    {"NVFP4", 0.97}}));
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  INFO(preset << " in " << at::toString(dtype));
  // Of one seed what is won differs by some hundredths with the last bits of the arithmetic.
  double left = 0.0;
  constexpr int seeds = 4;
  TuneOptions options = quick();
  for (int i = 0; i < seeds; ++i, ++options.seed) {
    const BlockResult result = tune(TinyBlock(dtype), preset, options);
    left += result.loss / result.rtn_loss / seeds;
    CHECK(result.best_iteration >= 0);
  }
  CHECK(left < share);
}

TEST_CASE("number formats: the same weights give the same output again", "[tuner]") {
  const std::string preset = GENERATE("NVFP4", "MXFP4", "FP8", "FP8_DYNAMIC", "W8A8", "NVFP4A16");
  INFO(preset);
  const TinyBlock block(at::kBFloat16);
  const BlockResult result = tune(block, preset);
  const auto layer = block.layer();
  const at::Tensor again = rerun_block(block.view(*layer), block.data, result.weights, quick(), {});
  CHECK(at::equal(again, result.output));
}

TEST_CASE("number formats: readers' fused layers share NVFP4's global scale", "[tuner]") {
  const BlockResult result = tune(TinyBlock(), "NVFP4");
  std::map<std::string, const quant::QuantizedWeight*> weights;
  for (const quant::QuantizedWeight& weight : result.weights) weights[weight.name] = &weight;
  const auto global = [&](const char* name) { return weights.at(linear_name(name))->global_scale.item<float>(); };
  CHECK(global("self_attn.q_proj") == global("self_attn.v_proj"));
  CHECK(global("mlp.gate_proj") == global("mlp.up_proj"));
  CHECK(global("mlp.down_proj") != global("mlp.up_proj"));
  const auto input = [&](const char* name) { return weights.at(linear_name(name))->input.global_scale.item<float>(); };
  CHECK(input("self_attn.q_proj") == input("self_attn.k_proj"));
  CHECK(input("self_attn.q_proj") != input("self_attn.o_proj"));
}

TEST_CASE("number formats: a static input scale covers what calibration saw, and tuning only shrinks it", "[tuner]") {
  const TinyBlock block;
  TuneOptions nearest = quick();
  nearest.iters = 0;
  const auto scales = [](const BlockResult& result) {
    std::vector<float> values;
    for (const quant::QuantizedWeight& weight : result.weights) values.push_back(weight.input.scale.item<float>());
    return values;
  };
  const auto untuned = scales(tune(block, "FP8", nearest)), tuned = scales(tune(block, "FP8"));
  REQUIRE(untuned.size() == 7);
  model::AtenOps ops;
  const float largest = block.layer()->input_norm(block.data.input, ops).abs().max().item<float>();
  CHECK(untuned[0] == static_cast<float>(at::BFloat16(largest / 448.f)));
  bool moved = false;
  for (std::size_t i = 0; i < tuned.size(); ++i) {
    CHECK(tuned[i] <= untuned[i]);
    CHECK(tuned[i] > 0.4f * untuned[i]);  // no further than all steps together reach
    moved = moved || tuned[i] < untuned[i];
  }
  CHECK(moved);
}

TEST_CASE("number formats: a static input scale knows nothing of padding", "[tuner]") {
  TinyBlock block;
  TuneOptions nearest = quick();
  nearest.iters = 0;
  const auto scales = [&] {
    std::vector<float> values;
    for (const quant::QuantizedWeight& weight : tune(block, "FP8", nearest).weights)
      values.push_back(weight.input.scale.item<float>());
    return values;
  };
  for (std::size_t i = 0; i < block.data.lengths.size(); ++i)
    block.data.lengths[i] = 1 + static_cast<std::int64_t>(i) % (block.data.length - 1);
  const auto expected = scales();
  for (std::size_t i = 0; i < block.data.lengths.size(); ++i) {
    const auto first = static_cast<std::int64_t>(i) * block.data.length;
    for (std::int64_t row = block.data.lengths[i]; row < block.data.length; ++row)
      block.data.input[first + row].mul_(50.0).select(0, 0).fill_(900.0);  // an outlier
  }
  CHECK(scales() == expected);
}

TEST_CASE("number formats: a linear that is left alone cannot share an input that is rounded", "[tuner]") {
  const TinyBlock block;
  for (const char* preset : {"W8A8", "W4A16"}) {
    Formats formats = test::all_linears(*block.layer(), test::preset_format(preset));
    formats.erase(linear_name("self_attn.k_proj"));
    if (std::string(preset) == "W4A16") {
      CHECK_NOTHROW(tune(block, formats));
      continue;
    }
    const Error error = error_of([&] { tune(block, formats); });
    CHECK(error.code() == Code::unsupported);
    CHECK(error.subject() == linear_name("self_attn.q_proj"));
  }
}

TEST_CASE("number formats: layers with one input cannot have it rounded in two ways", "[tuner]") {
  const TinyBlock block;
  Formats formats = test::all_linears(*block.layer(), test::preset_format("W8A8"));
  formats.at(linear_name("self_attn.k_proj")) = test::preset_format("FP8_DYNAMIC");
  const Error error = error_of([&] { tune(block, formats); });
  CHECK(error.code() == Code::unsupported);
  CHECK(error.subject() == linear_name("self_attn.k_proj"));
}

TEST_CASE("tuned input: the gradient of its magnitude is that of autograd", "[tuner]") {
  auto generator = at::detail::createCPUGenerator(4);
  const at::Tensor x = at::randn({32, 64}, generator) * 3, gradient = at::randn({32, 64}, generator);
  for (const char* preset : {"FP8", "INT8"}) {
    INFO(preset);
    recipe::QuantizationArgs args = recipe::preset_scheme(preset).input_activations.value();
    args.strategy = recipe::Strategy::tensor;
    args.dynamic = recipe::Dynamic::no;
    const quant::InputFormat format = quant::input_format(args, at::kFloat);
    const auto factor_after = [&](double sign) {
      TunedInput input(format, true);
      input.observe(x * 0.5);  // so that some of x is clipped
      input.finish_calibration();
      const float before = input.untuned().scale.item<float>();
      at::Tensor passed = gradient * sign;
      input.add_gradient(x, input.quantize(x), passed);
      input.step(0.25f);
      input.keep_best();
      return std::pair(input.best().scale.item<float>() / before, passed);
    };
    // Straight through: d rounded / d scale = code - x / scale inside the range, the code itself outside. Integers have
    // one code more below zero.
    TunedInput input(format, true);
    input.observe(x * 0.5);
    input.finish_calibration();
    const at::Tensor scale = input.untuned().scale, rounded = input.quantize(x);
    const at::Tensor quotient = x / scale;
    const at::Tensor clipped =
        is_float(format.number) ? quotient.abs() > 448.f : at::logical_or(quotient < -128.5f, quotient >= 127.5f);
    const double slope =
        (gradient * (rounded / scale - at::where(clipped, at::zeros_like(x), quotient))).sum().item<double>();
    REQUIRE(std::abs(slope) > 1.0);
    const auto [factor, passed] = factor_after(slope > 0 ? 1.0 : -1.0);
    CHECK(factor == Approx(0.75f));
    CHECK(factor_after(slope > 0 ? -1.0 : 1.0).first == 1.f);  // cannot grow beyond what was seen
    CHECK(at::equal(passed == 0, clipped));
  }
}

}  // namespace autoround::tuner
