// Quantize-dequantize on a GPU against the CPU: the same bits.
#include <ATen/ATen.h>

#include "gpu.hpp"
#include "quant/input_quantizer.hpp"
#include "quant/rounding.hpp"
#include "quant/scale_search.hpp"
#include "recipe/scheme.hpp"
#include "support/catch.hpp"

namespace autoround::quant {
namespace {

at::Tensor random(at::IntArrayRef sizes, std::uint64_t seed) {
  return at::randn(sizes, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
}

/// Weights of very different sizes, some groups of zeros, and values on the edges of fp16.
at::Tensor hard_weight(std::int64_t rows, std::int64_t columns, at::ScalarType type) {
  at::Tensor weight = random({rows, columns}, 7) * at::exp(3.0 * random({rows, 1}, 8));
  weight.narrow(0, 1, 1).zero_();
  weight.narrow(0, 2, 1).mul_(1e-7);
  weight.narrow(0, 3, 1).clamp_min_(0.0);
  return weight.to(type);
}

RoundingState moved(const RoundingState& state) {
  RoundingState copy = state;
  for (at::Tensor* part :
       {&copy.weight, &copy.value, &copy.min_scale, &copy.max_scale, &copy.weight_min, &copy.weight_max,
        &copy.global_scale, &copy.searched_scale, &copy.super.scales, &copy.super.scale, &copy.super.minimum,
        &copy.super.parts.scale_factors, &copy.super.parts.minima, &copy.super.parts.minimum_factors})
    if (part->defined()) *part = part->to(gpu);
  return copy;
}

bool same(const at::Tensor& cpu, const at::Tensor& device) {
  if (!cpu.defined()) return !device.defined();
  return device.defined() && cpu.equal(device.cpu().view(cpu.sizes()));
}

/// Makes the second of each pair of rows (dim 0) or columns (dim 1) the first, times `factor`. Gradients that are
/// negatives of each other where weights are equal cancel in sums over a group, so that the sign of a sum depends on
/// the order in which it was added up.
at::Tensor paired(const at::Tensor& matrix, std::int64_t dim, double factor) {
  const at::Tensor pairs = matrix.unflatten(dim, {-1, 2});
  pairs.select(dim + 1, 1).copy_(pairs.select(dim + 1, 0) * factor);
  return matrix;
}

/// Three steps with fresh gradients on both, the second of which is the best.
/// @param cancels the dimension along which gradients cancel; -1: none
void compare(RoundingState state, std::int64_t cancels = -1) {
  RoundingState twin = moved(state);
  for (int i = 0; i < 3; ++i) {
    at::Tensor out = at::empty_like(state.weight), other = at::empty_like(twin.weight);
    qdq_forward(state, out, /*fused=*/true);
    qdq_forward(twin, other, /*fused=*/true);
    CHECK(same(out, other));
    at::Tensor gradient = random(state.weight.sizes(), 20 + static_cast<std::uint64_t>(i)).to(state.weight.dtype());
    if (cancels >= 0) gradient = paired(gradient, cancels, -1.0);
    gradient.narrow(1, 0, 3).zero_();
    const StepRates rates{0.1f / static_cast<float>(i + 1), 0.05f / static_cast<float>(i + 1)};
    qdq_update(state, gradient, rates, /*is_best=*/i == 1, /*fused=*/true);
    qdq_update(twin, gradient.to(gpu), rates, i == 1, true);
    CHECK(same(state.value, twin.value));
    CHECK(same(state.min_scale, twin.min_scale));
    CHECK(same(state.max_scale, twin.max_scale));
  }
  const QuantizedWeight kept = best(state, "w"), other = to_host(best(twin, "w"));
  CHECK(same(kept.codes, other.codes));
  CHECK(same(kept.scales.view(at::kByte), other.scales.view(at::kByte)));
  CHECK(same(kept.zero_points, other.zero_points));
  const QuantizedWeight now = quantize(state, "w"), twin_now = to_host(quantize(twin, "w"));
  CHECK(same(now.codes, twin_now.codes));
  CHECK(same(now.scales.view(at::kByte), twin_now.scales.view(at::kByte)));
  CHECK(dequantize(now, at::kFloat).equal(dequantize(quantize(twin, "w"), at::kFloat).cpu()));
}

}  // namespace

TEST_CASE("cuda quant: integers are those of the CPU", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const int bits = GENERATE(2, 4, 8);
  const bool symmetric = GENERATE(true, false);
  const std::int64_t group = GENERATE(0, -1, 16, 40, 128, 1024);
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  const auto scale_type = GENERATE(at::kHalf, at::kBFloat16, at::kFloat);
  INFO(bits << " bits, symmetric " << symmetric << ", group " << group << ", " << type << ", scales " << scale_type);
  WeightFormat format;
  format.bits = bits;
  format.symmetric = symmetric;
  format.group = group;
  format.scale_type = scale_type;
  at::Tensor weight = hard_weight(24, 1100, type);
  if (scale_type == at::kHalf) weight = weight.clamp(-50.0, 50.0);
  compare(make_rounding_state(format, weight, true, true));
}

TEST_CASE("cuda quant: floating-point numbers are those of the CPU", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const std::string preset =
      GENERATE("FP8", "FP8_DYNAMIC", "FP8_BLOCK", "MXFP4A16", "MXFP6A16", "MXFP8A16", "NVFP4A16");
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  INFO(preset << ", " << type);
  const WeightFormat format = weight_format(*recipe::preset_scheme(preset).weights, at::kBFloat16);
  compare(make_rounding_state(format, hard_weight(200, 1088, type), true, true));
}

TEST_CASE("cuda quant: sums are added up in the order of the CPU", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const std::string preset = GENERATE("W4A16", "W4A16_ASYM", "W8A8", "FP8", "FP8_DYNAMIC", "FP8_BLOCK", "MXFP4A16");
  const std::int64_t dim = GENERATE(0, 1);
  INFO(preset << " along " << dim);
  const at::Tensor weight = paired(hard_weight(136, 2176, at::kFloat).clamp(-50.0, 50.0), dim, 1.0);
  const WeightFormat format = weight_format(*recipe::preset_scheme(preset).weights, at::kHalf);
  compare(make_rounding_state(format, weight, true, true), dim);
}

TEST_CASE("cuda quant: searched scales and super groups are those of the CPU", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const std::string preset = GENERATE("W2A16", "MXFP4A16", "NVFP4A16", "GGUF:Q4_K", "GGUF:Q6_K", "GGUF:Q2_K");
  INFO(preset);
  const WeightFormat format = weight_format(*recipe::preset_scheme(preset).weights, at::kHalf);
  const at::Tensor weight = hard_weight(16, 512, at::kBFloat16).clamp(-50.0, 50.0),
                   importance = random({512}, 3).square();
  RoundingState state = make_rounding_state(format, weight, true, true);
  RoundingState twin = make_rounding_state(format, weight.to(gpu), true, true);
  search_scales(state, importance);
  search_scales(twin, importance.to(gpu));
  CHECK(same(state.searched_scale, twin.searched_scale));
  CHECK(same(state.super.scale, twin.super.scale));
  compare(state);
}

TEST_CASE("cuda quant: inputs are rounded as on the CPU", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const std::string preset = GENERATE("W8A8", "W4A8", "FP8", "FP8_DYNAMIC", "FP8_BLOCK", "MXFP4", "MXFP8", "NVFP4");
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  INFO(preset << ", " << type);
  const recipe::QuantizationScheme scheme = recipe::preset_scheme(preset);
  InputQuantizer quantizer(input_format(*scheme.input_activations, at::kFloat));
  const at::Tensor x = hard_weight(50, 288, type);
  quantizer.calibrate(largest_magnitude(x) * 0.5f);
  CHECK(largest_magnitude(x.to(gpu)) == largest_magnitude(x));
  CHECK(quantizer(x).equal(quantizer(x.to(gpu)).cpu()));
}

}  // namespace autoround::quant
