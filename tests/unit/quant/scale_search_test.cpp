// Searched scales: worked out by hand, never worse than the obvious ones, and what tuning does with them.
#include "quant/scale_search.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "base/error.hpp"
#include "rounding_cases.hpp"
#include "support/catch.hpp"

using namespace autoround;
using namespace autoround::quant;
using namespace autoround::quant::test;

namespace {

at::Tensor row(std::vector<float> values) { return at::tensor(values).unsqueeze(0); }

WeightFormat float_format(Number number) {
  WeightFormat result;
  result.number = number;
  result.bits = grid_of(number).bits;
  result.group = number == Number::nvfp4 ? 16 : 32;
  result.scale_type = number == Number::nvfp4 ? at::kFloat8_e4m3fn : at::kByte;
  return result;
}

RoundingState searched(const WeightFormat& format, const at::Tensor& weight, const at::Tensor& importance = {}) {
  RoundingState state = make_rounding_state(format, weight, true, false);
  search_scales(state, importance);
  return state;
}

/// Importance times squared error of each group, fp64 [out, G].
at::Tensor errors(const RoundingState& state, const at::Tensor& importance) {
  const at::Tensor difference = dequantize(quantize(state, ""), at::kFloat) - state.weight.to(at::kFloat);
  at::Tensor error = difference.to(at::kDouble).square();
  if (importance.defined()) error = error * importance;
  return error.view({error.size(0), -1, state.format.group}).sum(-1);
}

}  // namespace

TEST_CASE("scale search: a peak that matters little is clipped", "[quant]") {
  // Two bits around -1: codes -2, -1, 0, 1 times the scale. Three values are one step of 0.1 and one is far off.
  const at::Tensor weight = row({-0.1f, -0.1f, 0.1f, -0.21f});
  const RoundingState nearest = make_rounding_state(format(2, true, -1, at::kFloat), weight, true, false);
  CHECK(quantize(nearest, "").scales.item<float>() == Approx(0.105));
  const auto scale_for = [&](float of_peak) {
    return quantize(searched(nearest.format, weight, at::tensor({1.f, 1.f, 1.f, of_peak})), "").scales.item<float>();
  };
  CHECK(scale_for(1e-6f) == Approx(0.1).epsilon(0.01));   // 0.21 / 2.1
  CHECK(scale_for(1e6f) == Approx(0.105).epsilon(1e-6));  // the peak itself
}

TEST_CASE("scale search: groups of zeros and without a better scale keep the obvious one", "[quant]") {
  const QuantizedWeight zeros = quantize(searched(format(4, true, 16), at::zeros({3, 32})), "");
  CHECK(zeros.scales.to(at::kFloat).eq(static_cast<float>(at::Half(1e-5f))).all().item<bool>());
  for (const Number number : {Number::mxfp4, Number::mxfp6, Number::mxfp8, Number::nvfp4})
    CHECK(at::equal(searched(float_format(number), at::zeros({2, 64})).searched_scale,
                    at::ones({2, number == Number::nvfp4 ? 4 : 2})));

  const at::Tensor exact = at::arange(-8, 8, at::kFloat).mul_(0.25).unsqueeze(0);  // what four bits hold
  CHECK(quantize(searched(format(4, true, 16, at::kFloat), exact), "").scales.item<float>() == 0.25f);
  const at::Tensor unseen = at::zeros({16});
  CHECK(quantize(searched(format(4, true, 16, at::kFloat), exact * 0.9, unseen), "").scales.item<float>() ==
        Approx(0.225));
}

TEST_CASE("scale search: no group is worse off, most are better", "[quant]") {
  const at::Tensor importance = normal({256}, 21).square();
  at::Tensor weight = mixed_weight(16, 256, 32);
  weight.slice(1, 0, 256, 16).mul_(3);
  std::vector<WeightFormat> formats;
  for (int bits = 2; bits <= 8; ++bits) formats.push_back(format(bits, true, 32, at::kFloat));
  for (const Number number : {Number::mxfp4, Number::mxfp6, Number::mxfp8, Number::nvfp4})
    formats.push_back(float_format(number));
  for (const WeightFormat& format : formats) {
    INFO(format.bits << " bits, number " << static_cast<int>(format.number));
    const RoundingState nearest = make_rounding_state(format, weight, true, false);
    const at::Tensor before = errors(nearest, importance);
    const at::Tensor after = errors(searched(format, weight, importance), importance);
    CHECK((after <= before * 1.0001 + 1e-12).all().item<bool>());
    // A shared exponent of many numbers is right already.
    const double gain = format.number == Number::mxfp8 || format.number == Number::mxfp6 ? 1.0 : 0.95;
    CHECK(after.sum().item<double>() <= gain * before.sum().item<double>());
  }
}

TEST_CASE("scale search: one scale for the tensor", "[quant]") {
  const at::Tensor weight = normal({24, 64}, 31) * 0.05;
  const WeightFormat whole = format(2, true, 0, at::kFloat), row_of_all = format(2, true, -1, at::kFloat);
  const RoundingState state = searched(whole, weight);
  CHECK(state.searched_scale.sizes() == at::IntArrayRef({1, 1}));
  // The same numbers as one long row.
  CHECK(state.searched_scale.item<float>() ==
        Approx(searched(row_of_all, weight.reshape({1, -1})).searched_scale.item<float>()).epsilon(1e-6));
}

TEST_CASE("scale search: threads and instruction sets do not matter", "[quant]") {
  const at::Tensor weight = mixed_weight(64, 200, 48).to(at::kBFloat16), importance = normal({200}, 5).square();
  std::vector<WeightFormat> formats = {format(3, true, 48), format(4, true, -1), format(2, true, 0)};
  formats.push_back(float_format(Number::mxfp4));
  formats.push_back(float_format(Number::nvfp4));
  const int threads = at::get_num_threads();
  for (const WeightFormat& format : formats) {
    const RoundingState expected = searched(format, weight, importance);
    for (const char* name : {"portable", "avx2", "avx512"}) {
      if (!find_kernels(name)) continue;
      RoundingState state = make_rounding_state(format, weight, true, false);
      at::set_num_threads(1);
      search_scales(state, importance, *find_kernels(name));
      at::set_num_threads(threads);
      CHECK(same_bits(state.searched_scale, expected.searched_scale));
    }
  }
}

TEST_CASE("scale search: tuning multiplies a searched scale by 0 to 2", "[quant]") {
  for (const bool fused : {false, true}) {
    // The peak is positive, so the scale is negative: -0.1 in fp32.
    RoundingState state =
        make_rounding_state(format(4, true, -1, at::kFloat), row({0.8f, -0.4f, 0.1f, 0.f}), true, true);
    state.searched_scale = at::full({1, 1}, -0.1f);
    at::Tensor out = at::empty_like(state.weight);
    state.max_scale.fill_(2.5);
    qdq_forward(state, out, fused);
    CHECK(state.max_scale.item<float>() == 2.f);
    CHECK(at::allclose(out, row({0.8f, -0.4f, 0.f, 0.f})));  // codes -4, 2, -0.5 to even, 0

    // d loss / d scale = g (q - w / s) summed = 1 * (0 - (-0.5)) > 0 where the code rounded to 0, and the scale is
    // negative: max_scale grows.
    qdq_update(state, row({0.f, 0.f, 1.f, 0.f}), {0.f, 0.25f}, true, fused);
    CHECK(state.max_scale.item<float>() == 2.25f);
    CHECK(state.min_scale.item<float>() == 1.f);
    CHECK(best(state, "layer").scales.item<float>() == Approx(-0.2));
  }
}

TEST_CASE("scale search: steps of searched scales are the same fused and plain", "[quant]") {
  for (const at::ScalarType scale_type : {at::kHalf, at::kBFloat16, at::kFloat}) {
    RoundingState plain = moved_state(format(3, true, 64, scale_type), 8, 192, at::kBFloat16);
    search_scales(plain, {});
    plain.max_scale.mul_(1.5);
    RoundingState fused = copy(plain);
    for (std::uint64_t step = 0; step < 3; ++step) {
      const at::Tensor gradient = normal({8, 192}, 40 + step).to(at::kBFloat16);
      at::Tensor out = at::empty_like(plain.weight), other = at::empty_like(plain.weight);
      qdq_forward(plain, out, false);
      qdq_forward(fused, other, true);
      CHECK(same_bits(out, other));
      qdq_update(plain, gradient, {0.1f, 0.05f}, true, false);
      qdq_update(fused, gradient, {0.1f, 0.05f}, true, true);
    }
    CHECK(same_bits(plain.value, fused.value));
    CHECK(same_bits(plain.max_scale, fused.max_scale));
    CHECK(same_bits(plain.best_codes, fused.best_codes));
    CHECK(same_bits(plain.best_scales, fused.best_scales));
  }
}

TEST_CASE("scale search: asymmetric integers, FP8 and importance of another shape are refused", "[quant]") {
  const at::Tensor weight = normal({4, 64}, 3);
  WeightFormat fp8;
  fp8.number = Number::fp8;
  fp8.bits = 8;
  fp8.group = -1;
  for (const WeightFormat& format : {format(4, false, 32), fp8}) {
    CHECK_FALSE(can_search_scales(format));
    RoundingState state = make_rounding_state(format, weight, true, false);
    CHECK_THROWS_AS(search_scales(state, {}), Error);
  }
  CHECK(can_search_scales(format(8, true, 0)));
  RoundingState state = make_rounding_state(format(4, true, 32), weight, true, false);
  CHECK_THROWS_AS(search_scales(state, at::ones({32})), Error);
  CHECK_THROWS_AS(search_scales(state, at::ones({64}, at::kDouble)), Error);
}
