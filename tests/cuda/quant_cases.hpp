// Quantize-dequantize by a device's kernels against the CPU's: the same bits. What runs them, a GPU or this machine in
// its place, is a parameter.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "quant/rounding.hpp"
#include "recipe/scheme.hpp"
#include "support/catch.hpp"
#include "support/ticks.hpp"

namespace autoround::quant {

inline at::Tensor random(at::IntArrayRef sizes, std::uint64_t seed) {
  return at::randn(sizes, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
}

/// Weights of very different sizes, some groups of zeros, and values on the edges of fp16.
inline at::Tensor hard_weight(std::int64_t rows, std::int64_t columns, at::ScalarType type) {
  at::Tensor weight = random({rows, columns}, 7) * at::exp(3.0 * random({rows, 1}, 8));
  weight.narrow(0, 1, 1).zero_();
  weight.narrow(0, 2, 1).mul_(1e-7);
  weight.narrow(0, 3, 1).clamp_min_(0.0);
  return weight.to(type);
}

/// Makes the second of each pair of rows (dim 0) or columns (dim 1) the first, times `factor`. Gradients that are
/// negatives of each other where weights are equal cancel in sums over a group, so that the sign of a sum depends on
/// the order in which it was added up.
inline at::Tensor paired(const at::Tensor& matrix, std::int64_t dim, double factor) {
  const at::Tensor pairs = matrix.unflatten(dim, {-1, 2});
  pairs.select(dim + 1, 1).copy_(pairs.select(dim + 1, 0) * factor);
  return matrix;
}

inline bool same(const at::Tensor& cpu, const at::Tensor& device) {
  if (!cpu.defined()) return !device.defined();
  return device.defined() && cpu.equal(device.cpu().view(cpu.sizes()));
}

/// @tparam Device places tensors, and has forward, step and quantize of its kernels
template <class Device>
RoundingState moved(const RoundingState& state) {
  RoundingState copy = state;
  for (at::Tensor* part :
       {&copy.weight, &copy.value, &copy.min_scale, &copy.max_scale, &copy.weight_min, &copy.weight_max,
        &copy.global_scale, &copy.searched_scale, &copy.super.scales, &copy.super.scale, &copy.super.minimum,
        &copy.super.parts.scale_factors, &copy.super.parts.minima, &copy.super.parts.minimum_factors})
    if (part->defined()) *part = Device::placed(*part);
  return copy;
}

/// Three steps of all weights at once with fresh gradients on both, the second of which is the best.
/// @param cancels the dimension along which gradients cancel; -1: none
/// @param ticks the device counts V in ticks, of which steps are multiples
template <class Device>
void compare(std::vector<RoundingState> states, std::int64_t cancels = -1, bool ticks = false) {
  std::vector<RoundingState> twins;
  for (const RoundingState& state : states) twins.push_back(moved<Device>(ticks ? test::in_ticks(state) : state));
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
      twin_updates.push_back({&twins[w], Device::placed(updates.back().gradient), rates});
    }
    qdq_forward(forwards, /*fused=*/true);
    Device::forward(twin_forwards);
    for (std::size_t w = 0; w < states.size(); ++w) CHECK(same(forwards[w].out, twin_forwards[w].out));
    qdq_update(updates, /*is_best=*/i == 1, /*fused=*/true);
    Device::step(twin_updates, i == 1);
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
    const QuantizedWeight now = quantize(states[w], "w"), twin_now = Device::quantize(twins[w]);
    CHECK(same(now.codes, twin_now.codes));
    CHECK(same(now.scales.view(at::kByte), to_host(twin_now).scales.view(at::kByte)));
    CHECK(dequantize(now, at::kFloat).equal(dequantize(twin_now, at::kFloat).cpu()));
  }
}

inline RoundingState state_of(const std::string& preset, const at::Tensor& weight, at::ScalarType scale_type) {
  return make_rounding_state(weight_format(*recipe::preset_scheme(preset).weights, scale_type), weight, true, true);
}

/// All kernels that see V.
inline const std::vector<std::string> kKindsOfNumbers{"W4A16", "W4A16_ASYM", "W8A8",     "GGUF:Q4_K",
                                                      "FP8",   "FP8_BLOCK",  "MXFP4A16", "NVFP4A16"};

/// More weights of a kind than a launch takes, and neighbours of different kernels and sizes.
inline std::vector<RoundingState> many_states() {
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

}  // namespace autoround::quant
