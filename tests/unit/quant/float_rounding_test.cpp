// Floating-point codes: numbers worked out by hand, the life of a state, and what it shares.
#include "quant/float_rounding.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "base/error.hpp"
#include "rounding_cases.hpp"
#include "support/catch.hpp"

using namespace autoround;
using namespace autoround::quant;
using namespace autoround::quant::test;

namespace {

WeightFormat float_format(Number number, std::int64_t group, std::int64_t block_rows = 0,
                          at::ScalarType scale_type = at::kFloat) {
  WeightFormat result = format(grid_of(number).bits, true, group, scale_type);
  result.number = number;
  result.block_rows = block_rows;
  if (has_power_scales(number)) result.scale_type = at::kByte;
  if (number == Number::nvfp4) result.scale_type = at::kFloat8_e4m3fn;
  return result;
}

/// Every format with a grouping that it is used with.
std::vector<WeightFormat> float_formats() {
  return {float_format(Number::fp8, 0),     float_format(Number::fp8, -1),
          float_format(Number::fp8, 32, 4), float_format(Number::mxfp4, 32),
          float_format(Number::mxfp6, 32),  float_format(Number::mxfp8, 32),
          float_format(Number::nvfp4, 16),  float_format(Number::fp8, -1, 0, at::kBFloat16)};
}

QuantizedWeight nearest(const WeightFormat& format, at::Tensor weight) {
  return quantize(make_rounding_state(format, std::move(weight), true, false), "layer");
}

at::Tensor codes(std::vector<int> values) { return at::tensor(values, at::kByte).unsqueeze(0); }

}  // namespace

TEST_CASE("float rounding: a code is the value of its bits", "[quant]") {
  CHECK(decode(e4m3, 0x7e) == 448.f);
  CHECK(decode(e4m3, 0x01) == 0x1p-9f);
  CHECK(decode(e4m3, 0x88) == -0x1p-6f);
  CHECK(decode(e2m3, 0x1f) == 7.5f);
  CHECK(decode(e2m3, 0x21) == -0.125f);
  const float fp4[] = {0.f, 0.5f, 1.f, 1.5f, 2.f, 3.f, 4.f, 6.f};
  for (std::uint8_t code = 0; code < 8; ++code) {
    CHECK(decode(e2m1, code) == fp4[code]);
    CHECK(decode(e2m1, code | 8) == -fp4[code]);
  }
  CHECK(decode_power(127) == 1.f);
  CHECK(decode_power(0) == 0x1p-127f);
}

TEST_CASE("float rounding: scales are those of the logarithm and of the type that they are stored in", "[quant]") {
  // All that lie near a power of two, and some of those between.
  std::vector<float> magnitudes;
  for (int exponent = -149; exponent < 125; ++exponent) {
    const auto power = std::bit_cast<std::uint32_t>(std::ldexp(1.f, exponent));
    for (std::uint32_t i = 0; i < 400; ++i) {
      magnitudes.push_back(std::bit_cast<float>(power + i));
      if (i < power) magnitudes.push_back(std::bit_cast<float>(power - i));
      magnitudes.push_back(std::bit_cast<float>(power + i * 20971));
    }
  }
  std::vector<float> sixfold, expected_powers, expected_types;  // NVFP4's scale of six is one
  for (const float magnitude : magnitudes) {
    const float exponent = std::floor(std::log2(magnitude)) - 2.f;
    expected_powers.push_back(std::exp2(std::clamp(exponent, -127.f, 127.f)));
    sixfold.push_back(6.f * magnitude);
    expected_types.push_back(static_cast<float>(c10::Float8_e4m3fn(std::min(6.f * magnitude * (1.f / 6.f), 448.f))));
  }
  for (const char* name : {"portable", "avx2", "avx512"}) {
    const Kernels* kernels = find_kernels(name);
    if (kernels == nullptr) continue;
    INFO(name);
    std::vector<float> found(magnitudes.size());
    FloatScales stored;
    stored.stored = found.data();
    const auto find = [&](const WeightFormat& format, const std::vector<float>& of) {
      kernels->float_scales(floats::scale_rule(format, 1.f), of.data(), static_cast<std::int64_t>(of.size()), stored);
    };
    find(float_format(Number::mxfp4, 32), magnitudes);
    CHECK(found == expected_powers);
    find(float_format(Number::nvfp4, 16), sixfold);
    CHECK(found == expected_types);
  }
}

TEST_CASE("float rounding: halves go to the even number of the grid", "[quant]") {
  // The largest magnitude is 6, so the scale of an MXFP4 group is 1.
  at::Tensor weight = at::zeros({1, 32});
  const std::vector<float> values = {6.f, 0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.f, -0.25f, -5.f, -0.f, 0.26f};
  for (std::size_t i = 0; i < values.size(); ++i) weight[0][static_cast<std::int64_t>(i)] = values[i];
  const QuantizedWeight rounded = nearest(float_format(Number::mxfp4, 32), weight);
  CHECK(rounded.scales.item<std::uint8_t>() == 127);
  CHECK(at::equal(rounded.codes.narrow(1, 0, 12), codes({7, 0, 2, 2, 4, 4, 6, 6, 8, 14, 0, 1})));
}

TEST_CASE("float rounding: scales of MX formats are powers of two below the range", "[quant]") {
  const auto exponent = [](Number number, float largest) {
    at::Tensor weight = at::zeros({1, 32});
    weight[0][5] = -largest;
    return nearest(float_format(number, 32), weight).scales.item<std::uint8_t>();
  };
  CHECK(exponent(Number::mxfp4, 4.f) == 127);
  CHECK(exponent(Number::mxfp4, 7.9f) == 127);
  CHECK(exponent(Number::mxfp4, 8.f) == 128);
  CHECK(exponent(Number::mxfp8, 256.f) == 127);
  CHECK(exponent(Number::mxfp6, 0.125f) == 127 - 5);
}

TEST_CASE("float rounding: NVFP4 has e4m3 scales below one scale of the tensor", "[quant]") {
  at::Tensor weight = at::zeros({2, 16});
  weight[0][0] = 6.f;   // the largest: its group's scale is the largest e4m3
  weight[1][3] = -3.f;  // half of it
  weight[1][4] = 1.f;
  const QuantizedWeight rounded = nearest(float_format(Number::nvfp4, 16), weight);
  CHECK(rounded.global_scale.item<float>() == 448.f);
  CHECK(at::equal(rounded.scales.to(at::kFloat), at::tensor({448.f, 224.f}).unsqueeze(1)));
  CHECK(rounded.codes[1][3].item<std::uint8_t>() == 15);
  CHECK(rounded.codes[1][4].item<std::uint8_t>() == 4);
  CHECK(at::equal(dequantize(rounded, at::kFloat), weight));
}

TEST_CASE("float rounding: layers that readers fuse share the global scale of the largest", "[quant]") {
  const WeightFormat nvfp4 = float_format(Number::nvfp4, 16);
  RoundingState small = make_rounding_state(nvfp4, at::full({2, 16}, 0.5f), true, false);
  RoundingState large = make_rounding_state(nvfp4, at::full({2, 16}, 2.f), true, false);
  RoundingState other = make_rounding_state(format(4, true, 16), at::full({2, 16}, 9.f), true, false);
  const float wanted = large.global_scale.item<float>();
  share_global_scale({&small, &other, &large});
  CHECK(small.global_scale.item<float>() == wanted);
  CHECK(large.global_scale.item<float>() == wanted);
  CHECK_FALSE(other.global_scale.defined());
}

TEST_CASE("float rounding: a block of FP8 shares its scale, at the edges too", "[quant]") {
  at::Tensor weight = at::zeros({6, 40});
  weight[1][3] = 448.f;
  weight[5][39] = -44.8f;
  const QuantizedWeight rounded = nearest(float_format(Number::fp8, 32, 4), weight);
  CHECK(rounded.scales.sizes() == at::IntArrayRef({2, 2}));
  CHECK(rounded.scales[0][0].item<float>() == 1.f);
  CHECK(rounded.scales[1][1].item<float>() == 44.8f / 448.f);
  CHECK(rounded.codes[1][3].item<std::uint8_t>() == 0x7e);
  CHECK(rounded.codes[5][39].item<std::uint8_t>() == 0xfe);
}

TEST_CASE("float rounding: the best codes give the output of the forward pass they were kept from", "[quant]") {
  for (const WeightFormat& format : float_formats()) {
    for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat}) {
      INFO("number " << static_cast<int>(format.number) << " group " << format.group << " in " << at::toString(dtype));
      RoundingState state = make_rounding_state(format, mixed_weight(8, 192, 32).to(dtype), true, true);
      state.value.copy_(normal({8, 192}, 12) * 0.3);
      state.max_scale.sub_(normal(state.max_scale.sizes(), 14).abs() * 0.2 - 0.01);
      at::Tensor output = at::empty_like(state.weight), later = at::empty_like(state.weight);
      qdq_forward(state, output, true);
      CHECK((state.max_scale.max().item<float>() <= 1.f && state.max_scale.min().item<float>() >= 0.f));
      qdq_update(state, normal({8, 192}, 5).to(dtype), {0.2f, 0.3f}, true, true);
      qdq_forward(state, later, true);
      CHECK_FALSE(same_bits(output, later));
      CHECK(at::equal(dequantize(best(state, "layer"), dtype), output));
    }
  }
}

TEST_CASE("float rounding: every path of this processor takes the same steps", "[quant]") {
  for (const WeightFormat& format : float_formats()) {
    RoundingState states[2];
    for (const bool fused : {false, true}) {
      states[fused] = make_rounding_state(format, mixed_weight(8, 176, 32), true, true);
      for (std::uint64_t seed = 5; seed < 8; ++seed)
        qdq_update(states[fused], normal({8, 176}, seed), {0.2f, 0.1f}, true, fused);
    }
    CHECK(same_bits(states[0].value, states[1].value));
    CHECK(same_bits(states[0].max_scale, states[1].max_scale));
    CHECK(same_bits(states[0].best_codes, states[1].best_codes));
  }
}

TEST_CASE("float rounding: a step moves V against the gradient, not where the value is clamped", "[quant]") {
  at::Tensor weight = at::zeros({1, 32});
  weight[0][0] = 7.5f;  // beyond 6: clamped
  weight[0][1] = 1.f;
  weight[0][2] = -1.f;
  RoundingState state = make_rounding_state(float_format(Number::mxfp4, 32), weight, true, true);
  qdq_update(state, at::ones({1, 32}), {0.25f, 0.125f}, false, true);
  CHECK(state.value[0][0].item<float>() == 0.f);
  CHECK(state.value[0][1].item<float>() == -0.25f);
  CHECK(state.value[0][2].item<float>() == -0.25f);
  CHECK(state.value[0][3].item<float>() == 0.f);  // a weight of zero has no side
}

TEST_CASE("float rounding: what cannot be is refused", "[quant]") {
  const WeightFormat fp16_scales = float_format(Number::fp8, -1, 0, at::kHalf);
  CHECK_THROWS_AS(make_rounding_state(fp16_scales, at::full({1, 4}, 1e8f), true, false), Error);
  CHECK_THROWS_AS(nearest(float_format(Number::mxfp4, 32), at::full({1, 32}, NAN)), Error);
  RoundingState state = make_rounding_state(float_format(Number::mxfp4, 32), at::ones({1, 32}), true, true);
  CHECK_THROWS_AS(add_momentum(state, 0.5), Error);
}
