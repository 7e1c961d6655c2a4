// How fast a CUDA device rounds weights and normalizes rows: bytes a second of the passes over a weight of the size of
// an 8B model's gate and up projections, or over as many rows of activations, beside those of a plain copy there.
//   device_bench [--rows 28672] [--columns 4096]
// Bytes are what a pass must move: forward reads W and V, 2 bytes each, and writes W'; a step reads W, V and dW' and
// writes V.
#include <ATen/ATen.h>
#include <c10/core/Event.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "device/device.hpp"
#include "model/device_ops.hpp"
#include "quant/rounding.hpp"
#include "recipe/scheme.hpp"

namespace autoround {
namespace {

const c10::Device gpu(c10::DeviceType::CUDA, 0);

/// Seconds of one call, from many in a row.
template <class Body>
double seconds_of(const Body& body) {
  constexpr int warm_up = 3, calls = 20;
  const c10::Stream stream = c10::impl::VirtualGuardImpl(gpu.type()).getStream(gpu);
  for (int i = 0; i < warm_up; ++i) body();
  c10::Event start(gpu.type(), c10::EventFlag::BACKEND_DEFAULT), end(gpu.type(), c10::EventFlag::BACKEND_DEFAULT);
  start.record(stream);
  for (int i = 0; i < calls; ++i) body();
  end.record(stream);
  end.synchronize();
  return start.elapsedTime(end) / 1e3 / calls;
}

void print(const char* what, const char* pass, double bytes, double seconds, double copy_rate) {
  std::printf("%-12s %-8s %7.3f ms %7.0f GB/s  %.2f of a copy\n", what, pass, 1e3 * seconds, bytes / seconds / 1e9,
              bytes / seconds / copy_rate);
}

void run(std::int64_t rows, std::int64_t columns) {
  const device::Scope scope(gpu);
  const at::NoGradGuard no_grad;
  const auto count = static_cast<double>(rows * columns);
  const at::Tensor weight = at::randn({rows, columns}, at::device(gpu).dtype(at::kBFloat16)).mul_(0.02);
  const at::Tensor gradient = at::randn({rows, columns}, at::device(gpu).dtype(at::kBFloat16));
  at::Tensor out = at::empty_like(weight);
  const double copy = seconds_of([&] { out.copy_(weight); }), copy_rate = 4.0 * count / copy;
  print("copy", "", 4.0 * count, copy, copy_rate);
  model::DeviceOps ops;
  const at::Tensor norm = at::ones({columns}, weight.options());
  print("RMSNorm", "", 4.0 * count, seconds_of([&] { ops.rms_norm(weight, norm, 1e-5); }), copy_rate);
  print("RMSNorm", "of a sum", 8.0 * count, seconds_of([&] { ops.add_rms_norm(weight, gradient, norm, 1e-5); }),
        copy_rate);
  for (const char* preset : {"W4A16", "W4A16_ASYM", "W8A16", "MXFP4A16", "NVFP4A16", "FP8_DYNAMIC"}) {
    const auto format = quant::weight_format(*recipe::preset_scheme(preset).weights, at::kHalf);
    quant::RoundingState state = quant::make_rounding_state(format, weight, true, true, /*tick=*/1e-3f);
    print(preset, "forward", 6.0 * count, seconds_of([&] { quant::qdq_forward(state, out, true); }), copy_rate);
    const auto step = [&](bool best) {
      return seconds_of([&] { quant::qdq_update(state, gradient, {1e-3f, 1e-3f}, best, true); });
    };
    print(preset, "step", 8.0 * count, step(false), copy_rate);
    print(preset, "best", 8.5 * count, step(true), copy_rate);
  }
}

}  // namespace
}  // namespace autoround

int main(int argc, char** argv) {
  std::int64_t rows = 28672, columns = 4096;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--rows") == 0) rows = std::stoll(argv[i + 1]);
    if (std::strcmp(argv[i], "--columns") == 0) columns = std::stoll(argv[i + 1]);
  }
  try {
    autoround::run(rows, columns);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "device_bench: %s\n", error.what());
    return 1;
  }
}
