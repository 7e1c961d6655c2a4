// Kernels of the CUDA plug-in, their source compiled for the host (cuda/launch_kernel.cuh beside this file): those of
// quantize-dequantize give the CPU's bits, heads are those of double precision. Without a GPU.
#include <stdexcept>

#include "cuda/heads_cases.hpp"
#include "cuda/launch.hpp"
#include "cuda/quant_cases.hpp"
#include "device/device.hpp"
#include "quant/device_rounding.hpp"
#include "quant/input_quantizer.hpp"
#include "quant/scale_search.hpp"

extern "C" {
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t) { return ""; }
}

namespace autoround {
namespace {

[[noreturn]] void no_such_kernel() { throw std::logic_error("this kernel is not among those that run on the host"); }

class HostKernels final : public device::Kernels {
 public:
  void forward(std::span<const device::Forward<device::IntegerWeight>> weights) const override {
    cuda::forward(weights, nullptr);
  }
  void forward(std::span<const device::Forward<device::FloatWeight>> weights) const override {
    cuda::forward(weights, nullptr);
  }
  void step(std::span<const device::Update<device::IntegerWeight>> weights) const override {
    cuda::step(weights, nullptr);
  }
  void step(std::span<const device::Update<device::FloatWeight>> weights) const override {
    cuda::step(weights, nullptr);
  }
  void encode(const device::IntegerWeight& w, std::uint8_t* codes, void* scales, std::uint8_t* zeros) const override {
    cuda::encode(w, codes, scales, zeros, nullptr);
  }
  void encode(const device::FloatWeight& w, std::uint8_t* codes, void* scales) const override {
    cuda::encode(w, codes, scales, nullptr);
  }
  void round_inputs(const device::InputRounding& a) const override { cuda::round_inputs(a, nullptr); }
  void rms_norm(const device::RmsNorm& a) const override { cuda::rms_norm(a, nullptr); }
  void rms_norm_backward(const device::RmsNormBackward& a) const override { cuda::rms_norm_backward(a, nullptr); }
  void heads(const device::Heads& a) const override { cuda::heads(a, nullptr); }
  void heads_backward(const device::HeadsBackward& a) const override { cuda::heads_backward(a, nullptr); }

  void gated_activation(const device::GatedActivation&) const override { no_such_kernel(); }
  void gated_activation_backward(const device::GatedActivationBackward&) const override { no_such_kernel(); }
  void gather(const device::Gather&) const override { no_such_kernel(); }
  void loss(const device::Loss&) const override { no_such_kernel(); }
  void decide(const device::Decide&) const override { no_such_kernel(); }
  void advance(device::Progress*) const override { no_such_kernel(); }
  std::unique_ptr<device::Graph> make_graph() const override { no_such_kernel(); }
  void release_memory() const override {}
  std::int64_t make_stream(int) const override { no_such_kernel(); }
  int capability(int) const override { no_such_kernel(); }
  std::string name(int) const override { no_such_kernel(); }
};

}  // namespace

/// In the place of the one in cpp/device.
const device::Kernels& device::kernels(c10::Device) {
  static const HostKernels kernels;
  return kernels;
}

namespace quant {
namespace {

struct Host {
  static at::Tensor placed(const at::Tensor& x) { return x.clone(); }
  static void forward(const std::vector<QdqForward>& weights) { on_device::forward(weights); }
  static void step(const std::vector<QdqUpdate>& weights, bool is_best) { on_device::step(weights, is_best); }
  static QuantizedWeight quantize(const RoundingState& state) {
    QuantizedWeight weight = on_device::quantize(state);
    if (weight.scales.scalar_type() == at::kHalf) weight.scales = weight.scales.to(state.format.scale_type);
    return weight;
  }
};

}  // namespace

TEST_CASE("cuda on host: integers are those of the CPU") {
  const int bits = GENERATE(2, 8);
  const bool symmetric = GENERATE(true, false);
  const std::int64_t group = GENERATE(0, -1, 40, 128, 1024);
  const auto scale_type = GENERATE(at::kHalf, at::kBFloat16);
  const auto type = group == 40 ? at::kFloat : at::kBFloat16;
  INFO(bits << " bits, symmetric " << symmetric << ", group " << group << ", scales " << scale_type);
  WeightFormat format;
  format.bits = bits;
  format.symmetric = symmetric;
  format.group = group;
  format.scale_type = scale_type;
  const at::Tensor weight = hard_weight(10, 1100, type).clamp(-50.0, 50.0);
  compare<Host>({make_rounding_state(format, weight, true, true)});
}

TEST_CASE("cuda on host: integers in groups that fill rows are those of the CPU") {
  const std::int64_t group = GENERATE(8, 16, 32, 64, 128, 256);
  const std::string preset = GENERATE("W2A16", "W4A16_ASYM", "W8A16");
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  const float size = GENERATE(1e-25f, 1.f, 1e25f);  // the outer two beyond what is divided by a reciprocal
  INFO(preset << " in groups of " << group << ", " << type << ", times " << size);
  WeightFormat format = weight_format(*recipe::preset_scheme(preset).weights, at::kFloat);
  format.group = group;
  at::Tensor weight = hard_weight(9, group == 256 ? 768 : 896, at::kFloat).clamp(-50.0, 50.0);
  weight.narrow(0, 5, 3).mul_(size);
  compare<Host>({make_rounding_state(format, weight.to(type), true, true)});
}

TEST_CASE("cuda on host: floating-point numbers are those of the CPU") {
  const std::string preset =
      GENERATE("FP8", "FP8_DYNAMIC", "FP8_BLOCK", "MXFP4A16", "MXFP6A16", "MXFP8A16", "NVFP4A16");
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  INFO(preset << ", " << type);
  const std::int64_t columns = GENERATE(320, 328);  // the latter no multiple of short groups
  compare<Host>({state_of(preset, hard_weight(136, columns, type), at::kBFloat16)});
}

TEST_CASE("cuda on host: sums are added up in the order of the CPU") {
  const std::string preset = GENERATE("W4A16", "W4A16_ASYM", "W8A8", "FP8", "FP8_DYNAMIC", "FP8_BLOCK", "MXFP4A16");
  const std::int64_t dim = GENERATE(0, 1);
  INFO(preset << " along " << dim);
  const at::Tensor weight = paired(hard_weight(16, 2176, at::kFloat).clamp(-50.0, 50.0), dim, 1.0);
  compare<Host>({state_of(preset, weight, at::kHalf)}, dim);
}

TEST_CASE("cuda on host: searched scales and super groups are those of the CPU") {
  const std::string preset = GENERATE("W2A16", "MXFP4A16", "NVFP4A16", "GGUF:Q4_K", "GGUF:Q6_K", "GGUF:Q2_K");
  INFO(preset);
  RoundingState state = state_of(preset, hard_weight(16, 512, at::kBFloat16).clamp(-50.0, 50.0), at::kHalf);
  search_scales(state, random({512}, 3).square());
  compare<Host>({state});
}

TEST_CASE("cuda on host: scales at the ends of fp32 are those of the CPU") {
  const std::string preset = GENERATE("MXFP4A16", "MXFP8A16", "NVFP4A16");
  const float size = GENERATE(1e-44f, 1e-37f, 1.5e38f);  // the first two have no finite factor to the largest scale
  INFO(preset << ", times " << size);
  at::Tensor weight = at::rand({4, 64}, at::make_generator<at::CPUGeneratorImpl>(5), at::kFloat) * size;
  weight.narrow(0, 1, 1).zero_();
  RoundingState state = state_of(preset, weight, at::kFloat);
  const std::vector<QdqForward> forward{{&state, at::empty_like(weight)}};
  qdq_forward(forward, /*fused=*/true);
  CHECK(forward.front().out.isfinite().all().item<bool>());
  compare<Host>({state});
}

TEST_CASE("cuda on host: many weights at once are those of the CPU") { compare<Host>(many_states()); }

TEST_CASE("cuda on host: V in ticks is that of the CPU in numbers") {
  const std::string preset = GENERATE(from_range(kKindsOfNumbers));
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  INFO(preset << ", " << type);
  compare<Host>({state_of(preset, hard_weight(136, 512, type).clamp(-50.0, 50.0), at::kHalf)}, -1, /*ticks=*/true);
}

TEST_CASE("cuda on host: inputs are rounded as on the CPU") {
  const std::string preset = GENERATE("W8A8", "W4A8", "FP8", "FP8_DYNAMIC", "FP8_BLOCK", "MXFP4", "MXFP8", "NVFP4");
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  INFO(preset << ", " << type);
  const recipe::QuantizationScheme scheme = recipe::preset_scheme(preset);
  const InputFormat format = input_format(*scheme.input_activations, at::kFloat);
  InputQuantizer quantizer(format);
  const at::Tensor x = hard_weight(50, 288, type);
  quantizer.calibrate(largest_magnitude(x) * 0.5f);
  CHECK(quantizer(x).equal(on_device::round_inputs(format, quantizer.scales(), x)));
}

TEST_CASE("cuda on host: inputs with one scale and a NaN are NaN, as on the CPU") {
  InputFormat format = input_format(*recipe::preset_scheme("FP8_DYNAMIC").input_activations, at::kFloat);
  format.group = 0;
  at::Tensor x = random({6, 64}, 9);
  x[2][3] = NAN;
  InputQuantizer quantizer(format);
  CHECK(quantizer(x).isnan().all().item<bool>());
  CHECK(on_device::round_inputs(format, quantizer.scales(), x).isnan().all().item<bool>());
}

}  // namespace quant

TEST_CASE("cuda on host: norms, of rows that threads hold and of longer ones") {
  using model::reference::random, model::reference::relative_error;
  const auto type = GENERATE(at::kBFloat16, at::kFloat);
  const std::int64_t width = GENERATE(3, 576, 4096, 4100, 16392), rows = 3;
  INFO(type << ", " << width);
  const double close = type == at::kFloat ? 1e-6 : 4e-3, eps = 1e-5;
  const at::Tensor x = random({rows, width}, type, 1), delta = random({rows, width}, type, 2),
                   weight = random({width}, type, 3), grad_y = random({rows, width}, type, 4),
                   grad_h = random({rows, width}, type, 5);
  at::Tensor h = at::empty_like(x), y = at::empty_like(x), grad_x = at::empty_like(x);
  device::RmsNorm a;
  a.element = device::element_of(x);
  a.rows = rows;
  a.width = width;
  a.eps = static_cast<float>(eps);
  a.x = x.const_data_ptr();
  a.delta = delta.const_data_ptr();
  a.weight = weight.const_data_ptr();
  a.h = h.mutable_data_ptr();
  a.y = y.mutable_data_ptr();
  device::kernels(at::kCPU).rms_norm(a);
  CHECK(h.equal(x + delta));
  const at::Tensor leaf = h.to(at::kDouble).requires_grad_(true);
  const at::Tensor wanted = model::reference::rms_norm(leaf, weight.to(at::kDouble), eps);
  CHECK(relative_error(y, wanted.detach()) < close);

  device::RmsNormBackward b;
  b.element = a.element;
  b.rows = rows;
  b.width = width;
  b.eps = a.eps;
  b.h = h.const_data_ptr();
  b.weight = weight.const_data_ptr();
  b.grad_y = grad_y.const_data_ptr();
  b.grad_h = grad_h.const_data_ptr();
  b.grad_x = grad_x.mutable_data_ptr();
  device::kernels(at::kCPU).rms_norm_backward(b);
  const auto grads = torch::autograd::grad({wanted}, {leaf}, {grad_y.to(at::kDouble)});
  CHECK(relative_error(grad_x, grads[0] + grad_h.to(at::kDouble)) < close);
}

TEST_CASE("cuda on host: heads are taken out of qkv, and gradients put back") {
  model::check_heads(device::kernels(at::kCPU), at::kCPU);
}

}  // namespace autoround
