// The state, its life from the first forward pass to the best codes, and numbers worked out by hand.
#include "quant/rounding.hpp"

#include <ATen/ATen.h>

#include <limits>

#include "base/error.hpp"
#include "rounding_cases.hpp"
#include "support/catch.hpp"

using namespace autoround;
using namespace autoround::quant;
using namespace autoround::quant::test;

namespace {

at::Tensor row(std::vector<float> values) { return at::tensor(values).unsqueeze(0); }

}  // namespace

TEST_CASE("rounding: the larger side is mapped to the most negative code", "[quant]") {
  const QuantizedWeight negative =
      quantize(make_rounding_state(format(4, true, -1, at::kFloat), row({-0.8f, 0.4f, 0.1f, 0.f}), true, false), "a");
  CHECK(negative.name == "a");
  CHECK(negative.scales.item<float>() == 0.1f);
  CHECK(at::equal(negative.codes, at::tensor(std::vector<int>{0, 12, 9, 8}, at::kByte).unsqueeze(0)));
  CHECK_FALSE(negative.zero_points.defined());

  const QuantizedWeight positive =
      quantize(make_rounding_state(format(4, true, -1, at::kFloat), row({0.8f, -0.4f, 0.1f, 0.f}), true, false), "b");
  CHECK(positive.scales.item<float>() == -0.1f);
  CHECK(at::equal(positive.codes, at::tensor(std::vector<int>{0, 12, 7, 8}, at::kByte).unsqueeze(0)));

  const QuantizedWeight tie =
      quantize(make_rounding_state(format(2, true, -1, at::kFloat), row({1.f, -1.f, 0.25f, -0.75f}), true, false), "c");
  CHECK(tie.scales.item<float>() == -0.5f);  // ties go to the positive side
  CHECK(at::equal(tie.codes, at::tensor(std::vector<int>{0, 3, 2, 3}, at::kByte).unsqueeze(0)));  // 0.25 / -0.5 to even
}

TEST_CASE("rounding: asymmetric codes span the range of the group", "[quant]") {
  const QuantizedWeight weight =
      quantize(make_rounding_state(format(2, false, 2, at::kFloat), row({-1.f, 2.f, 3.f, 1.f}), true, false), "a");
  CHECK(at::equal(weight.scales, at::tensor({1.f, 1.f}).unsqueeze(0)));
  CHECK(at::equal(weight.zero_points, at::tensor(std::vector<int>{1, 0}, at::kByte).unsqueeze(0)));
  CHECK(at::equal(weight.codes, at::tensor(std::vector<int>{0, 3, 3, 1}, at::kByte).unsqueeze(0)));
}

TEST_CASE("rounding: groups of zeros get the smallest scale and stay zero", "[quant]") {
  for (const bool symmetric : {true, false}) {
    const RoundingState state = make_rounding_state(format(4, symmetric, 16), at::zeros({3, 32}), true, false);
    const QuantizedWeight weight = quantize(state, "zeros");
    CHECK(weight.scales.to(at::kFloat).eq(static_cast<float>(at::Half(1e-5f))).all().item<bool>());
    CHECK(at::equal(dequantize(weight, at::kFloat), at::zeros({3, 32})));
  }
}

TEST_CASE("rounding: what cannot be quantized is refused", "[quant]") {
  const auto code_of = [](at::Tensor weight, at::ScalarType scale_type) {
    try {
      make_rounding_state(format(2, true, -1, scale_type), std::move(weight), true, true);
    } catch (const Error& error) {
      return error.code();
    }
    return Code::internal;
  };
  CHECK(code_of(row({1.f, std::numeric_limits<float>::quiet_NaN()}), at::kHalf) == Code::numeric);
  CHECK(code_of(row({1.f, -std::numeric_limits<float>::infinity()}), at::kHalf) == Code::numeric);
  CHECK(code_of(row({1.f, 2e5f}), at::kHalf) == Code::numeric);  // scale 1e5 is no fp16 value
  CHECK(code_of(row({1.f, 2e5f}), at::kBFloat16) == Code::internal);
  CHECK(code_of(row({1.f}).to(at::kHalf), at::kHalf) == Code::unsupported);
  CHECK(code_of(at::zeros({4}), at::kHalf) == Code::unsupported);
  CHECK(code_of(at::zeros({0, 4}), at::kHalf) == Code::unsupported);
}

TEST_CASE("rounding: a step moves V against the gradient inside the clamp and keeps the best before it moves",
          "[quant]") {
  for (const bool fused : {false, true}) {
    // Scale 0.1 (fp32): quotients -8, 4, 1, 9.6. The last is clamped, so it gets no gradient.
    RoundingState state =
        make_rounding_state(format(4, true, -1, at::kFloat), row({-0.8f, 0.4f, 0.1f, 0.f}), true, true);
    state.value.copy_(row({0.f, 0.f, 0.f, 9.6f}));
    CHECK_THROWS_AS(best(state, "early"), Error);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    qdq_update(state, row({1.f, -2.f, 0.f, 1.f}), {0.25f, 0.125f}, true, fused);
    CHECK(at::equal(state.value, row({-0.25f, 0.25f, 0.f, 9.6f})));
    const QuantizedWeight kept = best(state, "layer");
    CHECK(at::equal(kept.codes, at::tensor(std::vector<int>{0, 12, 9, 15}, at::kByte).unsqueeze(0)));
    // d loss / d scale = 1 * -8 - 2 * 4 + 7 - (1 * -8 - 2 * 4) = 7 > 0, through the negative side only.
    CHECK(state.min_scale.item<float>() == 0.875f);
    CHECK(state.max_scale.item<float>() == 1.f);
    qdq_update(state, row({0.f, nan, 0.f, 0.f}), {0.25f, 0.125f}, false, fused);
    CHECK(at::equal(state.value, row({-0.25f, 0.25f, 0.f, 9.6f})));  // sign(NaN) = 0
    CHECK(at::equal(best(state, "layer").codes, kept.codes));
  }
}

TEST_CASE("rounding: with momentum a step follows the decaying sum of the gradients", "[quant]") {
  const std::int64_t rows = GENERATE(4, 8200);  // the second are handled in several parts
  const at::Tensor weight = normal({rows, 64}, 3) * 0.05;
  RoundingState state = make_rounding_state(format(4, true, 32), weight, true, true);
  add_momentum(state, 0.5);
  const at::Tensor first = normal(weight.sizes(), 4), second = normal(weight.sizes(), 5);
  at::Tensor out = at::empty_like(weight), velocity = at::zeros_like(weight), value = at::zeros_like(weight);
  for (const at::Tensor& gradient : {first, second}) {
    const at::Tensor range_before = state.max_velocity.clone();
    qdq_forward(state, out, false);
    // What reaches V: the gradient times the scale, where the code is not clamped. Only its sign and size count here.
    RoundingState same = state;
    same.value = state.value.clone();
    same.min_scale = state.min_scale.clone();
    same.max_scale = state.max_scale.clone();
    same.value_velocity = at::zeros_like(weight);
    same.min_velocity = at::zeros_like(state.min_velocity);
    same.max_velocity = at::zeros_like(state.max_velocity);
    qdq_update(same, gradient, {1e-3f, 1e-3f}, false, false);
    velocity = velocity * 0.5 + same.value_velocity;
    value = value - 1e-3f * velocity.sign();
    qdq_update(state, gradient, {1e-3f, 1e-3f}, false, /*fused=*/true);  // which has no place for it
    CHECK(at::equal(state.value_velocity, velocity));
    CHECK(at::allclose(state.value, value, 0, 1e-9));
    CHECK(at::equal(state.max_velocity, range_before * 0.5 + same.max_velocity));
  }
  CHECK_FALSE(
      at::equal(velocity.sign(), (second * at::sign(at::ones({1}))).sign()));  // the first gradient still counts
}

TEST_CASE("rounding: without minmax tuning the scale factors stay", "[quant]") {
  for (const bool fused : {false, true}) {
    RoundingState state = make_rounding_state(format(4, false, 32), normal({4, 64}, 3), false, true);
    qdq_update(state, normal({4, 64}, 4), {0.1f, 0.1f}, false, fused);
    CHECK(at::equal(state.min_scale, at::ones({4, 2})));
    CHECK(at::equal(state.max_scale, at::ones({4, 2})));
    CHECK(at::count_nonzero(state.value).item<std::int64_t>() > 200);
  }
}

TEST_CASE("rounding: the best codes give the output of the forward pass they were kept from", "[quant]") {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat}) {
    for (const at::ScalarType scale_type : {at::kHalf, at::kBFloat16, at::kFloat}) {
      for (const bool symmetric : {true, false}) {
        RoundingState state = moved_state(format(4, symmetric, 64, scale_type), 8, 192, dtype);
        at::Tensor output = at::empty_like(state.weight), later = at::empty_like(state.weight);
        qdq_forward(state, output, true);
        CHECK((state.min_scale.max().item<float>() <= 1.f && state.min_scale.min().item<float>() >= 0.f));
        qdq_update(state, normal({8, 192}, 5).to(dtype), {0.2f, 0.1f}, true, true);
        qdq_forward(state, later, true);
        qdq_update(state, normal({8, 192}, 6).to(dtype), {0.2f, 0.1f}, false, true);
        CHECK_FALSE(same_bits(output, later));
        const at::Tensor written = dequantize(best(state, "layer"), dtype);
        CHECK((scale_type == at::kBFloat16 ? nearly_same(written, output) : same_bits(written, output)));
      }
    }
  }
}

TEST_CASE("rounding: scales that are written as bf16 are tuned in steps finer than its own", "[quant]") {
  const at::Tensor weight = normal({4, 128}, 3).to(at::kBFloat16);
  const auto tuned_in = [&](const WeightFormat& made, bool tune_minmax, bool trainable) {
    return make_rounding_state(made, weight, tune_minmax, trainable).scale_type;
  };
  for (const bool symmetric : {true, false}) {
    const WeightFormat bf16 = format(4, symmetric, 64, at::kBFloat16);
    CHECK(tuned_in(bf16, true, true) == at::kHalf);
    CHECK(make_rounding_state(bf16, weight * 1e6, true, true).scale_type == at::kFloat);  // beyond fp16
    CHECK(tuned_in(bf16, false, true) == at::kBFloat16);  // V alone is tuned, for the scale that is written
    CHECK(tuned_in(bf16, true, false) == at::kBFloat16);
    CHECK(tuned_in(format(4, symmetric, 64, at::kHalf), true, true) == at::kHalf);
    RoundingState state = make_rounding_state(bf16, weight, true, true);
    CHECK(untuned(state, false).scale_type == at::kBFloat16);
    CHECK(quantize(state, "layer").scales.scalar_type() == at::kBFloat16);
    keep_best(state);
    CHECK(best(state, "layer").scales.scalar_type() == at::kBFloat16);
  }
}

TEST_CASE("rounding: outputs and gradients of another dtype or shape are refused", "[quant]") {
  RoundingState state = make_rounding_state(format(4, true, 32), normal({4, 64}, 3).to(at::kBFloat16), true, true);
  at::Tensor wrong_type = at::empty({4, 64}), wrong_shape = at::empty({4, 32}, at::kBFloat16);
  CHECK_THROWS_AS(qdq_forward(state, wrong_type, true), Error);
  CHECK_THROWS_AS(qdq_forward(state, wrong_shape, true), Error);
  CHECK_THROWS_AS(qdq_update(state, wrong_type, {}, false, true), Error);
  RoundingState nearest = make_rounding_state(format(4, true, 32), normal({4, 64}, 3), true, false);
  CHECK_THROWS_AS(qdq_update(nearest, normal({4, 64}, 4), {}, false, true), Error);
}
