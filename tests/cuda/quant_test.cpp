// Quantize-dequantize on a GPU against the CPU: the same bits.
#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "gpu.hpp"
#include "quant/input_quantizer.hpp"
#include "quant/rounding.hpp"
#include "quant/scale_search.hpp"
#include "recipe/scheme.hpp"
#include "support/catch.hpp"
#include "support/ticks.hpp"

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

/// Makes the second of each pair of rows (dim 0) or columns (dim 1) the first, times `factor`. Gradients that are
/// negatives of each other where weights are equal cancel in sums over a group, so that the sign of a sum depends on
/// the order in which it was added up.
at::Tensor paired(const at::Tensor& matrix, std::int64_t dim, double factor) {
  const at::Tensor pairs = matrix.unflatten(dim, {-1, 2});
  pairs.select(dim + 1, 1).copy_(pairs.select(dim + 1, 0) * factor);
  return matrix;
}

bool same(const at::Tensor& cpu, const at::Tensor& device) {
  if (!cpu.defined()) return !device.defined();
  return device.defined() && cpu.equal(device.cpu().view(cpu.sizes()));
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

/// Three steps of all weights at once with fresh gradients on both, the second of which is the best.
/// @param cancels the dimension along which gradients cancel; -1: none
/// @param ticks the device counts V in ticks, of which steps are multiples
void compare(std::vector<RoundingState> states, std::int64_t cancels = -1, bool ticks = false) {
  std::vector<RoundingState> twins;
  for (const RoundingState& state : states) twins.push_back(moved(ticks ? test::in_ticks(state) : state));
  for (int i = 0; i < 3; ++i) {
    std::vector<QdqForward> forwards, twin_forwards;
    std::vector<QdqUpdate> updates, twin_updates;
    const auto step = static_cast<float>(i + 1);
    const StepRates rates{ticks ? 600.f / step * test::kTick : 0.1f / step, 0.05f / step};
    for (std::size_t w = 0; w < states.size(); ++w) {
      forwards.push_back({&states[w], at::empty_like(states[w].weight)});
      twin_forwards.push_back({&twins[w], at::empty_like(twins[w].weight)});
      at::Tensor gradient = random(states[w].weight.sizes(), 20 + static_cast<std::uint64_t>(i));
      if (cancels >= 0) gradient = paired(gradient, cancels, -1.0);
      gradient.narrow(1, 0, 3).zero_();
      updates.push_back({&states[w], gradient.to(states[w].weight.dtype()), rates});
      twin_updates.push_back({&twins[w], updates.back().gradient.to(gpu), rates});
    }
    qdq_forward(forwards, /*fused=*/true);
    qdq_forward(twin_forwards, /*fused=*/true);
    for (std::size_t w = 0; w < states.size(); ++w) CHECK(same(forwards[w].out, twin_forwards[w].out));
    qdq_update(updates, /*is_best=*/i == 1, /*fused=*/true);
    qdq_update(twin_updates, /*is_best=*/i == 1, /*fused=*/true);
    for (std::size_t w = 0; w < states.size(); ++w) {
      CHECK(same(states[w].value, test::numbers(twins[w])));
      CHECK(same(states[w].min_scale, twins[w].min_scale));
      CHECK(same(states[w].max_scale, twins[w].max_scale));
    }
  }
  for (std::size_t w = 0; w < states.size(); ++w) {
    const QuantizedWeight kept = best(states[w], "w"), other = to_host(best(twins[w], "w"));
    CHECK(same(kept.codes, other.codes));
    CHECK(same(kept.scales.view(at::kByte), other.scales.view(at::kByte)));
    CHECK(same(kept.zero_points, other.zero_points));
    const QuantizedWeight now = quantize(states[w], "w"), twin_now = quantize(twins[w], "w");
    CHECK(same(now.codes, twin_now.codes));
    CHECK(same(now.scales.view(at::kByte), to_host(twin_now).scales.view(at::kByte)));
    CHECK(dequantize(now, at::kFloat).equal(dequantize(twin_now, at::kFloat).cpu()));
  }
}

RoundingState state_of(const std::string& preset, const at::Tensor& weight, at::ScalarType scale_type) {
  return make_rounding_state(weight_format(*recipe::preset_scheme(preset).weights, scale_type), weight, true, true);
}

/// All kernels that see V.
const std::vector<std::string> kKindsOfNumbers{"W4A16", "W4A16_ASYM", "W8A8",     "GGUF:Q4_K",
                                               "FP8",   "FP8_BLOCK",  "MXFP4A16", "NVFP4A16"};

/// More weights of a kind than a launch takes, and neighbours of different kernels and sizes.
std::vector<RoundingState> many_states() {
  std::vector<RoundingState> states;
  const auto add = [&](const char* preset, std::int64_t rows) {
    states.push_back(state_of(preset, hard_weight(rows, 256, at::kBFloat16).clamp(-50.0, 50.0), at::kHalf));
  };
  for (const char* preset : {"W4A16", "W4A16_ASYM", "GGUF:Q4_K", "MXFP4A16", "NVFP4A16", "FP8_DYNAMIC"}) {
    for (const std::int64_t rows : {8, 24, 8}) add(preset, rows);
  }
  for (int i = 0; i < 220; ++i) add("W4A16", 4 + i % 5);
  return states;
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
  at::Tensor weight = hard_weight(10, 1100, type);
  if (scale_type == at::kHalf) weight = weight.clamp(-50.0, 50.0);
  compare({make_rounding_state(format, weight, true, true)});
}

TEST_CASE("cuda quant: integers in groups that fill rows are those of the CPU", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const std::int64_t group = GENERATE(8, 16, 32, 64, 128, 256);
  const std::string preset = GENERATE("W2A16", "W4A16_ASYM", "W8A16");
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  const float size = GENERATE(1e-25f, 1.f, 1e25f);  // the outer two beyond what is divided by a reciprocal
  INFO(preset << " in groups of " << group << ", " << type << ", times " << size);
  WeightFormat format = weight_format(*recipe::preset_scheme(preset).weights, at::kFloat);
  format.group = group;
  at::Tensor weight = hard_weight(9, group == 256 ? 768 : 896, at::kFloat).clamp(-50.0, 50.0);
  weight.narrow(0, 5, 3).mul_(size);
  compare({make_rounding_state(format, weight.to(type), true, true)});
}

TEST_CASE("cuda quant: floating-point numbers are those of the CPU", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const std::string preset =
      GENERATE("FP8", "FP8_DYNAMIC", "FP8_BLOCK", "MXFP4A16", "MXFP6A16", "MXFP8A16", "NVFP4A16");
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  const std::int64_t columns = GENERATE(320, 328, 1088);  // the second no multiple of short groups
  INFO(preset << ", " << type << ", " << columns << " columns");
  compare({state_of(preset, hard_weight(136, columns, type), at::kBFloat16)});
}

TEST_CASE("cuda quant: sums are added up in the order of the CPU", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const std::string preset = GENERATE("W4A16", "W4A16_ASYM", "W8A8", "FP8", "FP8_DYNAMIC", "FP8_BLOCK", "MXFP4A16");
  const std::int64_t dim = GENERATE(0, 1);
  INFO(preset << " along " << dim);
  const at::Tensor weight = paired(hard_weight(136, 2176, at::kFloat).clamp(-50.0, 50.0), dim, 1.0);
  compare({state_of(preset, weight, at::kHalf)}, dim);
}

TEST_CASE("cuda quant: searched scales and super groups are those of the CPU", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const std::string preset = GENERATE("W2A16", "MXFP4A16", "NVFP4A16", "GGUF:Q4_K", "GGUF:Q6_K", "GGUF:Q2_K");
  INFO(preset);
  const at::Tensor weight = hard_weight(16, 512, at::kBFloat16).clamp(-50.0, 50.0),
                   importance = random({512}, 3).square();
  RoundingState state = state_of(preset, weight, at::kHalf), twin = state_of(preset, weight.to(gpu), at::kHalf);
  search_scales(state, importance);
  search_scales(twin, importance.to(gpu));
  CHECK(same(state.searched_scale, twin.searched_scale));
  CHECK(same(state.super.scale, twin.super.scale));
  compare({state});
}

TEST_CASE("cuda quant: scales at the ends of fp32 are those of the CPU", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const std::string preset = GENERATE("MXFP4A16", "MXFP8A16", "NVFP4A16");
  const float size = GENERATE(1e-44f, 1e-37f, 1.5e38f);  // the first two have no finite factor to the largest scale
  INFO(preset << ", times " << size);
  at::Tensor weight = at::rand({4, 64}, at::make_generator<at::CPUGeneratorImpl>(5), at::kFloat) * size;
  weight.narrow(0, 1, 1).zero_();
  RoundingState state = state_of(preset, weight, at::kFloat);
  const std::vector<QdqForward> forward{{&state, at::empty_like(weight)}};
  qdq_forward(forward, /*fused=*/true);
  CHECK(forward.front().out.isfinite().all().item<bool>());
  compare({state});
}

TEST_CASE("cuda quant: many weights at once are those of the CPU", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  compare(many_states());
}

TEST_CASE("cuda quant: V in ticks is that of the CPU in numbers", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const std::string preset = GENERATE(from_range(kKindsOfNumbers));
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  INFO(preset << ", " << type);
  compare({state_of(preset, hard_weight(136, 512, type).clamp(-50.0, 50.0), at::kHalf)}, -1, /*ticks=*/true);
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

TEST_CASE("cuda quant: inputs with one scale and a NaN are NaN, as on the CPU", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  InputFormat format = input_format(*recipe::preset_scheme("FP8_DYNAMIC").input_activations, at::kFloat);
  format.group = 0;
  at::Tensor x = random({6, 64}, 9);
  x[2][3] = NAN;
  InputQuantizer quantizer(format);
  CHECK(quantizer(x).isnan().all().item<bool>());
  CHECK(quantizer(x.to(gpu)).isnan().all().item<bool>());
}

}  // namespace autoround::quant
