#include "session/predict.hpp"

#include <ATen/ATen.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "base/stopwatch.hpp"
#include "device/device.hpp"
#include "session/run_types.hpp"

namespace autoround::session {
namespace {

/// Free at the end of the C library's heap: in memory, and what comes next is put there.
std::uint64_t reusable_bytes() {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
  return ::mallinfo2().keepcost;
#else
  return 0;
#endif
}

}  // namespace

std::uint64_t resident_bytes() {
  std::FILE* statm = std::fopen("/proc/self/statm", "re");
  if (!statm) return 0;
  unsigned long long total = 0, resident = 0;
  const int fields = std::fscanf(statm, "%llu %llu", &total, &resident);
  std::fclose(statm);
  if (fields != 2) return 0;
  const std::uint64_t bytes = resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return bytes - std::min(bytes, reusable_bytes());
}

RunShape run_shape(const recipe::Assignment& assignment, const recipe::Recipe& recipe,
                   const calibration::SampleSet* data, const Options& options) {
  RunShape shape;
  shape.device = compute_device(options);
  if (data) {
    shape.samples = std::min<std::int64_t>(static_cast<std::int64_t>(data->size()), recipe.nsamples);
    shape.length = data->sequence_length();
  } else if (recipe.iters > 0) {
    shape.samples = recipe.nsamples;
    shape.length = recipe.seqlen;
  }
  shape.element_bytes = static_cast<std::int64_t>(c10::elementSize(compute_type(options)));
  shape.deterministic = is_deterministic(options);
  shape.resident = resident_bytes();
  struct Weights {
    std::int64_t tuned = 0, other = 0;
  };
  std::map<std::int64_t, Weights> blocks;
  for (const auto& entry : assignment.linears) {
    if (entry.module->shape.size() != 2) continue;
    const std::int64_t weights = entry.module->shape[0] * entry.module->shape[1], layer = entry.module->block;
    if (entry.scheme.input_activations) shape.rounds_inputs = true;
    if (layer >= 0) {
      Weights& block = blocks[layer / recipe.nblocks];
      (entry.group ? block.tuned : block.other) += weights;
    } else if (entry.group) {
      shape.lone_weights = std::max(shape.lone_weights, weights);
    }
  }
  for (const auto& [index, block] : blocks) {
    shape.tuned_weights = std::max(shape.tuned_weights, block.tuned);
    shape.other_weights = std::max(shape.other_weights, block.other);
    shape.tuned_weights_total += block.tuned;
  }
  if (options.outputs.empty()) shape.kept = static_cast<std::uint64_t>(shape.tuned_weights_total);  // codes
  return shape;
}

double measured_flops(std::int64_t width, std::int64_t element_bytes, at::Device device) {
  const at::NoGradGuard no_grad;
  const auto type = element_bytes == 2 ? at::kBFloat16 : at::kFloat;
  const std::int64_t n = std::clamp<std::int64_t>(width, 256, 2048);
  const auto options = at::device(device).dtype(type);
  const std::int64_t rows = device.is_cpu() ? 1024 : 16384;
  const at::Tensor a = at::ones({rows, n}, options), b = at::ones({n, n}, options);
  at::Tensor c = at::mm(a, b);  // warm-up
  device::synchronize(device);
  double best = 1e9;
  const Stopwatch measuring;
  do {
    const Stopwatch product;
    at::mm_out(c, a, b);
    device::synchronize(device);
    best = std::min(best, product.seconds());
  } while (measuring.seconds() < 0.1);
  return 2.0 * static_cast<double>(rows) * static_cast<double>(n) * static_cast<double>(n) / best;
}

double predict_seconds(const recipe::Recipe& recipe, const RunShape& shape, double flops) {
  // 2 operations a weight and token forward, 4 backward; a reference pass, a round-to-nearest pass and an output pass.
  // Searched scales are weighed in one more.
  const std::int64_t batch = std::min(shape.samples, recipe.batch_size) * shape.length;
  const double weights = static_cast<double>(shape.tuned_weights_total);
  const double tuning = 6.0 * weights * static_cast<double>(batch * recipe.iters);
  const double passes =
      (recipe.searches_scales() ? 4.0 : 3.0) * 2.0 * weights * static_cast<double>(shape.samples * shape.length);
  constexpr double share_of_products = 0.8;  // the rest is attention, norms, rounding
  return (tuning + passes) / (flops * share_of_products);
}

}  // namespace autoround::session
