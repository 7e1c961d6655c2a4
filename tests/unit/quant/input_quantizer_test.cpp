// Inputs as the program that runs the model rounds them: numbers worked out by hand, and what is refused.
#include "quant/input_quantizer.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.hpp"
#include "quant/kernels.hpp"
#include "support/catch.hpp"

using namespace autoround;
using namespace autoround::quant;

namespace {

recipe::QuantizationArgs args_of(const std::string& preset) {
  return recipe::preset_scheme(preset).input_activations.value();
}
InputFormat format_of(const std::string& preset) { return input_format(args_of(preset), at::kBFloat16); }

at::Tensor row(std::vector<float> values) { return at::tensor(values).unsqueeze(0); }

}  // namespace

TEST_CASE("input quantizer: each preset's inputs", "[quant]") {
  const InputFormat int8 = format_of("W8A8");
  CHECK((int8.number == Number::integer && int8.bits == 8 && int8.group == -1 && !int8.is_static));
  CHECK(format_of("W4A4").bits == 4);
  const InputFormat fp8 = format_of("FP8");
  CHECK((fp8.number == Number::fp8 && fp8.is_static && fp8.needs_scale() && fp8.scale_type == at::kBFloat16));
  CHECK((format_of("FP8_DYNAMIC").group == -1 && !format_of("FP8_DYNAMIC").needs_calibration()));
  CHECK((format_of("FP8_BLOCK").group == 128 && format_of("FP8_BLOCK").number == Number::fp8));
  CHECK((format_of("NVFP4").needs_global_scale() && !format_of("NVFP4").needs_scale()));
  CHECK((format_of("MXFP4").number == Number::mxfp4 && format_of("MXFP4").group == 32));
  CHECK(format_of("MXFP6A8").number == Number::mxfp8);
}

TEST_CASE("input quantizer: each token has its own scale", "[quant]") {
  const InputQuantizer int8(format_of("W8A8"));
  const at::Tensor x = at::tensor({127.5f, 1.f, -0.4f, 0.6f, 12.75f, 0.26f, 0.f, -0.04f}).view({2, 4});
  CHECK(at::allclose(int8(x), at::tensor({127.f, 1.f, 0.f, 1.f, 12.7f, 0.3f, 0.f, 0.f}).view({2, 4}), 0, 1e-6));
  CHECK(at::equal(int8(at::zeros({3, 8})), at::zeros({3, 8})));
  CHECK(int8(at::zeros({0, 8})).size(0) == 0);
}

TEST_CASE("input quantizer: a static scale is what calibration saw, and clips what is beyond", "[quant]") {
  InputQuantizer fp8(format_of("FP8"));
  fp8.calibrate(448.f);
  CHECK(fp8.scales().scale.item<float>() == 1.f);
  CHECK(at::equal(fp8(row({1000.f, -1000.f, 17.f, 0.3f})), row({448.f, -448.f, 16.f, 0.3125f})));
  fp8.calibrate(100.f);  // 100 / 448 is no bf16 number: the stored one counts
  CHECK(fp8.scales().scale.scalar_type() == at::kBFloat16);
}

TEST_CASE("input quantizer: the global scale of NVFP4 is a divisor", "[quant]") {
  InputQuantizer nvfp4(format_of("NVFP4"));
  nvfp4.calibrate(6.f);
  CHECK(nvfp4.scales().global_scale.item<float>() == 448.f);
  at::Tensor x = at::zeros({1, 16});
  x[0][0] = 6.f;
  x[0][1] = 2.4f;
  CHECK(nvfp4(x)[0][1].item<float>() == 2.f);
}

TEST_CASE("input quantizer: ranges of groups of any width on every instruction set", "[quant]") {
  at::Tensor values = at::arange(700, at::kFloat).mul_(0.37).sin_().mul_(100);
  values[3] = NAN;  // no part of a range
  for (const std::int64_t group : {1, 5, 8, 16, 17, 32, 48, 64, 700}) {
    std::vector<float> smallest, largest;
    for (std::int64_t first = 0; first < values.numel(); first += group) {
      smallest.push_back(INFINITY);
      largest.push_back(-INFINITY);
      for (std::int64_t i = first; i < std::min(first + group, values.numel()); ++i) {
        smallest.back() = std::fmin(smallest.back(), values[i].item<float>());
        largest.back() = std::fmax(largest.back(), values[i].item<float>());
      }
    }
    for (const char* name : {"portable", "avx2", "avx512"}) {
      const Kernels* kernels = find_kernels(name);
      if (kernels == nullptr) continue;
      INFO(name << ", groups of " << group);
      std::vector<float> low(smallest.size()), high(smallest.size());
      kernels->range({Element::f32, values.numel(), group, values.const_data_ptr(), low.data(), high.data()});
      CHECK(low == smallest);
      CHECK(high == largest);
    }
  }
}

TEST_CASE("input quantizer: scales of MX groups and of NVFP4 on every instruction set", "[quant]") {
  std::vector<float> magnitudes{0.f, 1.f, 1.75f, std::nextafter(1.75f, 0.f), 6.f, 448.f, 3e38f};
  for (int exponent = -126; exponent < 127; ++exponent)
    magnitudes.push_back(std::ldexp(1.f + 0.013f * (exponent & 63), exponent));
  const auto count = static_cast<std::int64_t>(magnitudes.size());
  // The magnitude is that of either side; a group that lies on one side of zero has no other.
  std::vector<float> smallest, largest;
  for (std::size_t i = 0; i < magnitudes.size(); ++i) {
    smallest.push_back(i % 3 == 0 ? -magnitudes[i] : magnitudes[i] / 2);
    largest.push_back(i % 3 == 0 ? -magnitudes[i] / 2 : magnitudes[i]);
  }
  const RowRange ranges{Element::f32, count, 1, nullptr, smallest.data(), largest.data()};
  for (const char* name : {"portable", "avx2", "avx512"}) {
    const Kernels* kernels = find_kernels(name);
    if (kernels == nullptr) continue;
    INFO(name);
    std::vector<float> scale(magnitudes.size());
    for (const FloatGrid& grid : {e2m1, e2m3, e4m3}) {
      kernels->input_scales({grid, true, 1.f}, ranges, count, scale.data());
      for (std::size_t i = 0; i < magnitudes.size(); ++i) {
        INFO(magnitudes[i]);
        int exponent = 0;
        const float fraction = std::frexp(magnitudes[i], &exponent);  // in [0.5, 1): three quarters of a step round up
        const int power = (fraction >= 0.875f ? exponent : exponent - 1) - grid.largest_exponent;
        CHECK(scale[i] == std::ldexp(1.f, magnitudes[i] == 0.f ? -127 : std::clamp(power, -127, 127)));
      }
    }
    for (const float global : {1.f, 448.f, 0.01f, 1e6f}) {
      kernels->input_scales({e2m1, false, global}, ranges, count, scale.data());
      for (std::size_t i = 0; i < magnitudes.size(); ++i) {
        INFO(magnitudes[i] << " below " << global);
        const float stored = c10::Float8_e4m3fn(std::min(global * (magnitudes[i] / 6.f), 448.f));
        CHECK(scale[i] == (stored == 0.f ? 0.125f : stored) / global);
      }
    }
  }
}

TEST_CASE("input quantizer: gradients of clipped inputs on every instruction set", "[quant]") {
  auto generator = at::detail::createCPUGenerator(6);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const bool whole : {false, true}) {
      const at::Tensor x = (at::randn({70}, generator) * 3).to(type), from = at::randn({70}, generator).to(type);
      const at::Tensor quotient = x.to(at::kFloat) / 0.5, code = whole ? quotient.round() : quotient;
      const at::Tensor rounded = (code.clamp(-8, 7) * 0.5).to(type);
      const at::Tensor inside = at::logical_and(code >= -8, code <= 7);
      REQUIRE(inside.logical_not().any().item<bool>());
      const at::Tensor errors = rounded.to(at::kFloat) - at::where(inside, x.to(at::kFloat), 0.f);
      const double expected = (from.to(at::kFloat) * errors).sum().item<double>();
      for (const char* name : {"portable", "avx2", "avx512"}) {
        const Kernels* kernels = find_kernels(name);
        if (kernels == nullptr) continue;
        INFO(name << ", " << type << ", whole " << whole);
        at::Tensor gradient = from.clone();
        ClippedRow row{type == at::kFloat ? Element::f32 : Element::bf16, 70, x.const_data_ptr(),
                       rounded.const_data_ptr(), gradient.mutable_data_ptr()};
        row.scale = 0.5f;
        row.lowest = -8.f;
        row.highest = 7.f;
        row.whole = whole;
        CHECK(kernels->clip_gradient(row) == Approx(expected).epsilon(1e-4));
        CHECK(at::equal(gradient, at::where(inside, from, at::zeros_like(from))));
      }
    }
  }
}

TEST_CASE("input quantizer: a NaN stays one", "[quant]") {
  const InputQuantizer fp8(format_of("FP8_DYNAMIC"));
  CHECK(fp8(row({1.f, NAN, 2.f, 0.f})).isnan().any().item<bool>());
}

TEST_CASE("input quantizer: the largest magnitude", "[quant]") {
  CHECK(largest_magnitude(row({1.f, -3.f, 2.f})) == 3.f);
  CHECK(largest_magnitude(at::zeros({0, 4})) == 0.f);
}

TEST_CASE("input quantizer: what is not computed is refused", "[quant]") {
  const auto refused = [](recipe::QuantizationArgs args) {
    try {
      input_format(args, at::kBFloat16);
      return false;
    } catch (const Error& error) {
      return error.code() == Code::unsupported && error.subject() == "input_activations";
    }
  };
  recipe::QuantizationArgs args = args_of("FP8");
  args.symmetric = false;
  CHECK(refused(args));
  args = args_of("FP8_DYNAMIC");
  args.num_bits = 6;
  CHECK(refused(args));
  args = args_of("NVFP4");
  args.dynamic = recipe::Dynamic::yes;
  CHECK(refused(args));
  args = args_of("W8A8");
  args.strategy = recipe::Strategy::attn_head;
  CHECK(refused(args));
}
