// Every instruction set against the formulas written in LibTorch operations, bit for bit.
#include "quant/kernels.hpp"

#include <ATen/ATen.h>

#include "quant/float_rounding.hpp"
#include "quant/fused_rounding.hpp"
#include "quant/plain_rounding.hpp"
#include "quant/super_rounding.hpp"
#include "recipe/scheme.hpp"
#include "rounding_cases.hpp"
#include "support/catch.hpp"
#include "support/ticks.hpp"

using namespace autoround::quant;
using namespace autoround::quant::test;

namespace {

std::vector<const Kernels*> all_kernels() {
  std::vector<const Kernels*> result;
  for (const char* name : {"portable", "avx2", "avx512"}) {
    if (const Kernels* found = find_kernels(name)) result.push_back(found);
  }
  return result;
}

struct Shape {
  std::int64_t rows, columns, group;
};

void compare_with_plain(const WeightFormat& weight_format, const Shape& shape, at::ScalarType dtype) {
  const RoundingState start = moved_state(weight_format, shape.rows, shape.columns, dtype);
  at::Tensor gradient = (normal({shape.rows, shape.columns}, 15) * 0.01).to(dtype);
  gradient.select(1, 2).zero_();
  const StepRates rates{0.005f, 0.004f};

  RoundingState expected = copy(start);
  at::Tensor expected_output = at::empty_like(start.weight);
  plain::forward(expected, expected_output);
  plain::keep_best(expected);
  plain::update(expected, gradient, rates);
  REQUIRE_FALSE(at::equal(expected.value, start.value));
  REQUIRE_FALSE(at::equal(expected.min_scale, start.min_scale.clamp(0, 1)));

  for (const Kernels* kernels : all_kernels()) {
    INFO(kernels->name << ", " << weight_format.bits << " bits, symmetric " << weight_format.symmetric << ", group "
                       << shape.group << ", [" << shape.rows << ", " << shape.columns << "], scales "
                       << weight_format.scale_type);
    RoundingState state = copy(start);
    at::Tensor output = at::empty_like(start.weight);
    fused::forward(state, output, *kernels);
    CHECK(same_bits(output, expected_output));
    const QuantizedWeight weight = fused::quantize(state, *kernels);
    fused::update(state, gradient, rates, true, *kernels);
    CHECK(same_bits(state.value, expected.value));
    CHECK(same_bits(state.min_scale, expected.min_scale));
    CHECK(same_bits(state.max_scale, expected.max_scale));
    CHECK(same_bits(state.best_codes, expected.best_codes));
    CHECK(same_bits(state.best_scales, expected.best_scales));
    CHECK(same_bits(state.best_zero_points, expected.best_zero_points));
    CHECK(same_bits(weight.codes, expected.best_codes));
    const at::Tensor written = dequantize(weight, dtype);
    CHECK((weight_format.scale_type == at::kBFloat16 ? nearly_same(written, output) : same_bits(written, output)));
  }
}

}  // namespace

TEST_CASE("kernels: every instruction set takes the steps of the plain formulas", "[quant]") {
  for (const int bits : {2, 3, 4, 5, 6, 7, 8}) {
    for (const bool symmetric : {true, false}) {
      compare_with_plain(format(bits, symmetric, 64), {8, 256, 64}, at::kBFloat16);
    }
  }
}

TEST_CASE("kernels: any grouping, whole or ragged, summed in the order of at::sum", "[quant]") {
  for (const Shape& shape : std::vector<Shape>{{8, 128, 16},
                                               {8, 192, 32},
                                               {8, 256, 128},
                                               {8, 120, 24},
                                               {8, 200, 100},
                                               {8, 37, 64},
                                               {8, 300, 128},
                                               {8, 1024, 512},
                                               {8, 1376, -1},
                                               {8, 33, -1},
                                               {6, 20000, -1},
                                               {530, 512, 64}}) {  // plain operations go over these in two parts
    for (const bool symmetric : {true, false}) {
      compare_with_plain(format(4, symmetric, shape.group), shape, at::kBFloat16);
    }
  }
}

TEST_CASE("kernels: every dtype of weights and scales", "[quant]") {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat}) {
    for (const at::ScalarType scale_type : {at::kHalf, at::kBFloat16, at::kFloat}) {
      for (const bool symmetric : {true, false}) {
        compare_with_plain(format(4, symmetric, 64, scale_type), {8, 256, 64}, dtype);
        compare_with_plain(format(8, symmetric, 48, scale_type), {8, 200, 48}, dtype);
      }
    }
  }
}

TEST_CASE("kernels: one scale for the tensor is the same on every instruction set", "[quant]") {
  for (const bool symmetric : {true, false}) {
    const RoundingState start = moved_state(format(8, symmetric, 0), 300, 333, at::kBFloat16);
    const at::Tensor gradient = (normal({300, 333}, 16) * 0.01).to(at::kBFloat16);
    RoundingState expected = copy(start);
    at::Tensor expected_output = at::empty_like(start.weight);
    plain::forward(expected, expected_output);
    plain::keep_best(expected);
    plain::update(expected, gradient, {0.005f, 0.004f});
    for (const Kernels* kernels : all_kernels()) {
      INFO(kernels->name << ", symmetric " << symmetric);
      RoundingState state = copy(start);
      at::Tensor output = at::empty_like(start.weight);
      fused::forward(state, output, *kernels);
      fused::update(state, gradient, {0.005f, 0.004f}, true, *kernels);
      CHECK(same_bits(output, expected_output));
      CHECK(same_bits(state.value, expected.value));
      CHECK(same_bits(state.best_codes, expected.best_codes));
      CHECK(same_bits(state.best_scales, expected.best_scales));
      CHECK(state.best_scales.sizes() == at::IntArrayRef{1});
      // These gradients are far from zero, so the other order of the sum in `plain` cannot turn their sign.
      CHECK(same_bits(state.min_scale, expected.min_scale));
      CHECK(same_bits(state.max_scale, expected.max_scale));
    }
  }
}

namespace {

/// Of any format, by the given kernels.
void forward(const RoundingState& state, const at::Tensor& out, const Kernels& kernels) {
  if (is_float(state.format.number)) return floats::forward(state, out, kernels);
  state.format.has_super_groups() ? supers::forward(state, out, kernels) : fused::forward(state, out, kernels);
}
QuantizedWeight quantized(const RoundingState& state, const Kernels& kernels) {
  if (is_float(state.format.number)) return floats::quantize(state, kernels);
  return state.format.has_super_groups() ? supers::quantize(state, kernels) : fused::quantize(state, kernels);
}
void step(RoundingState& state, const at::Tensor& gradient, StepRates rates, const Kernels& kernels) {
  std::unique_ptr<RowStep> step;
  if (is_float(state.format.number)) {
    step = std::make_unique<floats::Step>(state, rates, true, kernels);
  } else if (state.format.has_super_groups()) {
    step = supers::step(state, rates, true, kernels);
  } else {
    step = std::make_unique<fused::Step>(state, rates, true, kernels);
  }
  step->rows(0, gradient);
  step->finish();
}

}  // namespace

TEST_CASE("kernels: V in ticks is V in numbers, of all formats", "[quant]") {
  for (const char* preset : {"W4A16", "W4A16_ASYM", "W8A8", "GGUF:Q4_K", "FP8", "FP8_BLOCK", "MXFP4A16", "NVFP4A16"}) {
    for (const at::ScalarType dtype : {at::kBFloat16, at::kFloat}) {
      const auto weight_format =
          autoround::quant::weight_format(*autoround::recipe::preset_scheme(preset).weights, at::kHalf);
      const std::int64_t columns = weight_format.has_super_groups() ? 512 : 300;  // the latter not whole registers
      const at::Tensor weight = (normal({12, columns}, 21) * 0.4).to(dtype);
      for (const Kernels* kernels : all_kernels()) {
        INFO(preset << ", " << dtype << ", " << kernels->name);
        RoundingState state = make_rounding_state(weight_format, weight, true, true);
        state.value.copy_(at::round(normal({12, columns}, 12) * 1000.0) * kTick);
        RoundingState ticks = in_ticks(copy(state));
        for (int i = 0; i < 3; ++i) {
          at::Tensor output = at::empty_like(weight), of_ticks = at::empty_like(weight);
          forward(state, output, *kernels);
          forward(ticks, of_ticks, *kernels);
          CHECK(same_bits(output, of_ticks));
          CHECK(same_bits(quantized(state, *kernels).codes, quantized(ticks, *kernels).codes));
          const at::Tensor gradient = (normal({12, columns}, 30 + i) * 0.01).to(dtype);
          const StepRates rates{static_cast<float>(300 - 7 * i) * kTick, 0.004f};
          step(state, gradient, rates, *kernels);
          step(ticks, gradient, rates, *kernels);
          CHECK(same_bits(state.value, numbers(ticks)));
          CHECK(same_bits(state.max_scale, ticks.max_scale));
          CHECK(same_bits(state.best_codes, ticks.best_codes));
        }
      }
    }
  }
}

TEST_CASE("kernels: weights, gradients and outputs may be rows and columns of larger tensors", "[quant]") {
  const at::Tensor large = (normal({12, 320}, 17) * 0.05).to(at::kBFloat16);
  const at::Tensor weight = large.narrow(0, 3, 6).narrow(1, 32, 256);
  const at::Tensor gradient = (normal({9, 300}, 18)).to(at::kBFloat16).narrow(0, 1, 6).narrow(1, 7, 256);
  RoundingState strided = make_rounding_state(format(4, true, 64), weight, true, true);
  RoundingState dense = make_rounding_state(format(4, true, 64), weight.contiguous(), true, true);
  at::Tensor frame = at::zeros({8, 280}, at::kBFloat16), output = at::empty_like(dense.weight);
  at::Tensor inside = frame.narrow(0, 1, 6).narrow(1, 8, 256);
  for (const Kernels* kernels : all_kernels()) {
    fused::forward(strided, inside, *kernels);
    fused::forward(dense, output, *kernels);
    CHECK(same_bits(inside, output));
    fused::update(strided, gradient, {0.01f, 0.01f}, true, *kernels);
    fused::update(dense, gradient.contiguous(), {0.01f, 0.01f}, true, *kernels);
    CHECK(same_bits(strided.value, dense.value));
    CHECK(same_bits(strided.min_scale, dense.min_scale));
  }
  inside.zero_();
  CHECK(at::count_nonzero(frame).item<std::int64_t>() == 0);  // nothing was written beside the rows
}

TEST_CASE("kernels: unknown names are absent and the choice is one of the known ones", "[quant]") {
  CHECK(find_kernels("sse9") == nullptr);
  REQUIRE(find_kernels("portable") != nullptr);
  CHECK(find_kernels(kernel_name()) == &kernels());
}
