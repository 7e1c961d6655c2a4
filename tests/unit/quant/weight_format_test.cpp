#include "quant/weight_format.hpp"

#include <ATen/ATen.h>

#include "base/error.hpp"
#include "support/catch.hpp"

using namespace autoround;
using namespace autoround::quant;

namespace {

recipe::QuantizationArgs integers(int bits, recipe::Strategy strategy, std::optional<std::int64_t> group = {}) {
  recipe::QuantizationArgs args;
  args.num_bits = bits;
  args.strategy = strategy;
  args.group_size = group;
  return args;
}

Code code_of(const recipe::QuantizationArgs& args, at::ScalarType scale_type = at::kHalf) {
  try {
    weight_format(args, scale_type);
  } catch (const Error& error) {
    CHECK(std::string(error.what()).size() > 20);
    return error.code();
  }
  return Code::internal;
}

}  // namespace

TEST_CASE("weight format: strategies become groups of columns", "[quant]") {
  using recipe::Strategy;
  const WeightFormat group = weight_format(integers(4, Strategy::group, 64), at::kBFloat16);
  CHECK((group.bits == 4 && group.symmetric && group.group == 64 && group.scale_type == at::kBFloat16));
  CHECK(group.columns_per_group(256) == 64);
  CHECK(group.groups_per_row(256) == 4);
  CHECK(group.groups_per_row(260) == 5);
  CHECK(group.columns_per_group(48) == 48);  // shorter than a group: one scale a row
  CHECK(group.groups_per_row(48) == 1);
  CHECK(group.scales_shape(10, 256) == std::vector<std::int64_t>{10, 4});

  const WeightFormat channel = weight_format(integers(8, Strategy::channel), at::kHalf);
  CHECK((channel.group == -1 && channel.columns_per_group(576) == 576 && channel.groups_per_row(576) == 1));
  CHECK(weight_format(integers(4, Strategy::group, -1), at::kHalf).group == -1);
  CHECK(weight_format(integers(4, Strategy::group), at::kHalf).group == -1);

  CHECK(channel.smallest_scale() == static_cast<float>(at::Half(1e-5f)));
  CHECK(weight_format(integers(8, Strategy::channel), {at::kHalf, 0x1p-24f}).smallest_scale() == 0x1p-24f);

  const WeightFormat tensor = weight_format(integers(8, Strategy::tensor), at::kFloat);
  CHECK(tensor.smallest_scale() == 1e-8f);
  CHECK(tensor.group == 0);
  CHECK(tensor.scales_shape(10, 256) == std::vector<std::int64_t>{1});
  CHECK(tensor.smallest_scale() == 1e-8f);
}

TEST_CASE("weight format: each preset's numbers, grouping and stored scales", "[quant]") {
  const auto format_of = [](const std::string& preset) {
    return weight_format(recipe::preset_scheme(preset), at::kBFloat16);
  };
  const WeightFormat fp8 = format_of("FP8");
  CHECK((fp8.number == Number::fp8 && fp8.group == 0 && fp8.scale_type == at::kBFloat16 && fp8.input->is_static));
  CHECK((format_of("FP8_DYNAMIC").group == -1 && format_of("FP8_DYNAMIC").input->group == -1));
  const WeightFormat block = format_of("FP8_BLOCK");
  CHECK((block.block_rows == 128 && block.group == 128));
  CHECK(block.scales_shape(130, 300) == std::vector<std::int64_t>{2, 3});
  const WeightFormat nvfp4 = format_of("NVFP4A16");
  CHECK((nvfp4.number == Number::nvfp4 && nvfp4.group == 16 && nvfp4.scale_type == at::kFloat8_e4m3fn && !nvfp4.input));
  for (const auto& [preset, number] : {std::pair("MXFP4A16", Number::mxfp4), std::pair("MXFP6A16", Number::mxfp6),
                                       std::pair("MXFP8A16", Number::mxfp8)}) {
    const WeightFormat mx = format_of(preset);
    CHECK((mx.number == number && mx.group == 32 && mx.scale_type == at::kByte && !mx.input));
  }
  CHECK((format_of("W4AFP8").number == Number::integer && format_of("W4AFP8").input->number == Number::fp8));
}

TEST_CASE("weight format: what cannot be tuned is refused", "[quant]") {
  using recipe::Strategy;
  CHECK(code_of(integers(1, Strategy::channel)) == Code::unsupported);
  CHECK(code_of(integers(9, Strategy::channel)) == Code::unsupported);
  CHECK(code_of(integers(4, Strategy::block)) == Code::unsupported);
  CHECK(code_of(integers(4, Strategy::group, 0)) == Code::invalid_argument);
  CHECK(code_of(integers(4, Strategy::group, 64), at::kDouble) == Code::unsupported);
  recipe::QuantizationArgs floating = integers(8, Strategy::group, 128);
  floating.type = recipe::NumberType::floating;
  CHECK(code_of(floating) == Code::unsupported);
  floating = integers(5, Strategy::channel);
  floating.type = recipe::NumberType::floating;
  CHECK(code_of(floating) == Code::unsupported);
  recipe::QuantizationArgs halves = recipe::preset_scheme("MXFP4").weights.value();
  halves.group_size = 16;
  CHECK(code_of(halves) == Code::unsupported);
  recipe::QuantizationArgs dynamic = integers(8, Strategy::channel);
  dynamic.dynamic = recipe::Dynamic::yes;
  CHECK(code_of(dynamic) == Code::unsupported);
}

TEST_CASE("weight format: dequantize multiplies centred codes by scales", "[quant]") {
  QuantizedWeight weight;
  weight.format.bits = 4;
  weight.format.group = 2;
  weight.codes = at::tensor(std::vector<int>{0, 15, 8, 9, 7, 8}, at::kByte).reshape({2, 3});
  weight.scales = at::tensor({0.5f, -2.f, 1.f, 4.f}).to(at::kHalf).reshape({2, 2});
  CHECK(at::equal(dequantize(weight, at::kFloat), at::tensor({-4.f, 3.5f, -0.f, 1.f, -1.f, 0.f}).reshape({2, 3})));

  weight.format.symmetric = false;
  weight.zero_points = at::tensor(std::vector<int>{0, 8, 9, 4}, at::kByte).reshape({2, 2});
  CHECK(at::equal(dequantize(weight, at::kFloat), at::tensor({0.f, 7.5f, -0.f, 0.f, -2.f, 16.f}).reshape({2, 3})));

  weight.format.group = 0;
  weight.scales = at::tensor({1.00390625f});  // 1 + 2^-8: no bf16 value
  weight.zero_points = at::tensor(std::vector<int>{8}, at::kByte);
  CHECK(dequantize(weight, at::kFloat)[0][1].item<float>() == 7.02734375f);
  CHECK(dequantize(weight, at::kBFloat16)[0][1].item<float>() == 7.03125f);
}
