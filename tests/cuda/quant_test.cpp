// Quantize-dequantize on a GPU against the CPU: the same bits.
#include "cuda/quant_cases.hpp"
#include "gpu.hpp"
#include "quant/input_quantizer.hpp"
#include "quant/scale_search.hpp"

namespace autoround::quant {
namespace {

struct Gpu {
  static at::Tensor placed(const at::Tensor& x) { return x.to(gpu); }
  static void forward(const std::vector<QdqForward>& weights) { qdq_forward(weights, /*fused=*/true); }
  static void step(const std::vector<QdqUpdate>& weights, bool is_best) { qdq_update(weights, is_best, true); }
  static QuantizedWeight quantize(const RoundingState& state) { return quant::quantize(state, "w"); }
};

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
  compare<Gpu>({make_rounding_state(format, weight, true, true)});
}

TEST_CASE("cuda quant: floating-point numbers are those of the CPU", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const std::string preset =
      GENERATE("FP8", "FP8_DYNAMIC", "FP8_BLOCK", "MXFP4A16", "MXFP6A16", "MXFP8A16", "NVFP4A16");
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  INFO(preset << ", " << type);
  compare<Gpu>({state_of(preset, hard_weight(200, 1088, type), at::kBFloat16)});
}

TEST_CASE("cuda quant: sums are added up in the order of the CPU", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const std::string preset = GENERATE("W4A16", "W4A16_ASYM", "W8A8", "FP8", "FP8_DYNAMIC", "FP8_BLOCK", "MXFP4A16");
  const std::int64_t dim = GENERATE(0, 1);
  INFO(preset << " along " << dim);
  const at::Tensor weight = paired(hard_weight(136, 2176, at::kFloat).clamp(-50.0, 50.0), dim, 1.0);
  compare<Gpu>({state_of(preset, weight, at::kHalf)}, dim);
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
  compare<Gpu>({state});
}

TEST_CASE("cuda quant: many weights at once are those of the CPU", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  compare<Gpu>(many_states());
}

TEST_CASE("cuda quant: V in ticks is that of the CPU in numbers", "[cuda]") {
  if (no_gpu()) return;
  const device::Scope scope(gpu);
  const std::string preset = GENERATE(from_range(kKindsOfNumbers));
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  INFO(preset << ", " << type);
  compare<Gpu>({state_of(preset, hard_weight(136, 512, type).clamp(-50.0, 50.0), at::kHalf)}, -1, /*ticks=*/true);
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
