// Super groups: what they hold comes back, errors that cost more get smaller, and only V is tuned.
#include "quant/super_scales.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "base/error.hpp"
#include "quant/scale_search.hpp"
#include "rounding_cases.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

using namespace autoround;
using namespace autoround::quant;
using namespace autoround::quant::test;
using autoround::test::error_of;

namespace {

WeightFormat super_format(int bits) {
  WeightFormat result = format(bits, bits == 3 || bits == 6, bits == 4 || bits == 5 ? 32 : 16);
  result.super_group = 256 / result.group;
  result.super_bits = bits == 2 ? 4 : bits == 6 ? 8 : 6;
  return result;
}

constexpr int all_bits[] = {2, 3, 4, 5, 6};

/// A weight of random codes, factors and units that these formats hold.
QuantizedWeight held(const WeightFormat& format, std::int64_t rows, std::int64_t columns) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(17);
  const std::int64_t groups = format.groups_per_row(columns), most = std::int64_t{1} << format.super_bits;
  const auto integers = [&](std::int64_t low, std::int64_t high, at::IntArrayRef shape) {
    return at::randint(low, high, shape, generator, at::kLong).to(at::kChar);
  };
  QuantizedWeight weight;
  weight.format = format;
  weight.codes = integers(0, format.levels(), {rows, columns}).to(at::kByte);
  // Every group shows its ends, so that there is no other way to hold it.
  weight.codes.view({rows, groups, format.group}).select(2, 0).fill_(0);
  weight.codes.view({rows, groups, format.group}).select(2, 1).fill_(format.levels() - 1);
  weight.scales = at::full(format.scales_shape(rows, columns), 0.0625, at::kHalf);
  weight.super.scale_factors =
      format.symmetric ? integers(-most / 2, -most / 4, {rows, groups}) : integers(most / 2, most, {rows, groups});
  if (format.symmetric) {
    weight.super.scale_factors.view({rows, -1, format.super_group}).select(2, 0).fill_(-most / 2);
    return weight;
  }
  weight.super.scale_factors.view({rows, -1, format.super_group}).select(2, 0).fill_(most - 1);
  weight.super.minima = at::full(format.scales_shape(rows, columns), 0.03125, at::kHalf);
  weight.super.minimum_factors = integers(1, most, {rows, groups});
  weight.super.minimum_factors.view({rows, -1, format.super_group}).select(2, 3).fill_(most - 1);
  return weight;
}

double weighed_error(const RoundingState& state, const at::Tensor& importance) {
  const at::Tensor difference = dequantize(quantize(state, ""), at::kFloat) - state.weight;
  return (difference.square() * importance).sum().item<double>();
}

}  // namespace

TEST_CASE("super groups: what a weight in them holds is found again", "[quant]") {
  for (const int bits : all_bits) {
    INFO(bits << " bits");
    const QuantizedWeight weight = held(super_format(bits), 4, 512);
    const at::Tensor values = dequantize(weight, at::kFloat);
    const QuantizedWeight found = quantize(make_rounding_state(weight.format, values, false, false), "");
    CHECK(at::equal(found.codes, weight.codes));
    CHECK(at::equal(found.super.scale_factors, weight.super.scale_factors));
    CHECK(at::allclose(dequantize(found, at::kFloat), values, 1e-3, 1e-6));
    if (!weight.format.symmetric) CHECK(at::equal(found.super.minimum_factors, weight.super.minimum_factors));
  }
}

TEST_CASE("super groups: zeros stay zeros, a minimum is stored without a sign", "[quant]") {
  for (const int bits : all_bits) {
    INFO(bits << " bits");
    const QuantizedWeight zeros =
        quantize(make_rounding_state(super_format(bits), at::zeros({2, 256}), false, false), "");
    CHECK(dequantize(zeros, at::kFloat).abs().max().item<float>() == 0.f);
    CHECK(zeros.scales.abs().max().item<float>() == 0.f);
  }
  const at::Tensor positive = normal({4, 512}, 3).abs() + 1.0;
  for (const int bits : {2, 4, 5}) {
    const RoundingState state = make_rounding_state(super_format(bits), positive, false, false);
    CHECK(state.super.minimum.min().item<float>() >= 0.f);
    CHECK(state.super.scale.min().item<float>() > 0.f);
  }
}

TEST_CASE("super groups: importance makes costly errors smaller", "[quant]") {
  const at::Tensor weight = normal({16, 512}, 5) * 0.05;
  at::Tensor importance = normal({512}, 6).square();
  importance.slice(0, 0, 512, 8).mul_(100);
  for (const int bits : all_bits) {
    INFO(bits << " bits");
    RoundingState state = make_rounding_state(super_format(bits), weight, false, false);
    const double before = weighed_error(state, importance);
    search_scales(state, importance);
    CHECK(weighed_error(state, importance) < 0.97 * before);
  }
}

TEST_CASE("super groups: threads and instruction sets do not matter", "[quant]") {
  const at::Tensor weight = mixed_weight(24, 768, 32).to(at::kBFloat16), importance = normal({768}, 5).square() + 0.1;
  const int threads = at::get_num_threads();
  for (const int bits : all_bits) {
    const WeightFormat format = super_format(bits);
    const SuperScales expected = search_super_scales(format, weight, importance, kernels());
    for (const char* name : {"portable", "avx2", "avx512"}) {
      if (!find_kernels(name)) continue;
      at::set_num_threads(1);
      const SuperScales found = search_super_scales(format, weight, importance, *find_kernels(name));
      at::set_num_threads(threads);
      CHECK(same_bits(found.scale, expected.scale));
      CHECK(same_bits(found.minimum, expected.minimum));
      CHECK(same_bits(found.parts.scale_factors, expected.parts.scale_factors));
    }
  }
}

TEST_CASE("super groups: a step moves V against the gradient inside the codes, and scales stay", "[quant]") {
  for (const bool fused : {false, true}) {
    for (const int bits : all_bits) {
      INFO(bits << " bits");
      const QuantizedWeight weight = held(super_format(bits), 2, 256);
      RoundingState state =
          make_rounding_state(weight.format, dequantize(weight, at::kFloat), /*tune_minmax=*/true, true);
      const at::Tensor scale = state.super.scale.clone();
      at::Tensor out = at::empty_like(state.weight);
      state.value.fill_(0.25f);
      state.value.select(1, 1).fill_(0.75f);  // rounds beyond the last code: no gradient passes
      qdq_forward(state, out, fused);
      CHECK(at::allclose(out, state.weight, 1e-3, 1e-6));
      const at::Tensor gradient = normal({2, 256}, 8);
      qdq_update(state, gradient, {0.1f, 0.1f}, /*is_best=*/true, fused);
      const at::Tensor direction = gradient.sign() * scale.repeat_interleave(weight.format.group, 1).sign();
      at::Tensor expected = 0.25 - 0.1 * direction;
      expected.select(1, 1).fill_(0.75f);
      CHECK(at::allclose(state.value, expected));
      CHECK(same_bits(state.super.scale, scale));
      CHECK(at::equal(best(state, "layer").codes, weight.codes));
      CHECK(same_bits(best(state, "layer").super.scale_factors, weight.super.scale_factors));
    }
  }
}

TEST_CASE("super groups: what they cannot hold is refused", "[quant]") {
  const WeightFormat four = super_format(4);
  CHECK(error_of([&] { make_rounding_state(four, normal({2, 288}, 1), false, false); }).code() == Code::unsupported);
  CHECK(error_of([&] { make_rounding_state(super_format(6), normal({2, 256}, 1) * 1e9, false, false); }).code() ==
        Code::numeric);
  RoundingState state = make_rounding_state(four, normal({2, 256}, 1), true, true);
  CHECK(error_of([&] { add_momentum(state, 0.9); }).code() == Code::unsupported);
  CHECK(can_search_scales(four));
}
