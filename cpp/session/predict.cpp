#include "session/predict.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>

#include "device/device.hpp"

namespace autoround::session {
namespace {

std::uint64_t resident_bytes() {
  std::FILE* statm = std::fopen("/proc/self/statm", "re");
  if (!statm) return 0;
  unsigned long long total = 0, resident = 0;
  const int fields = std::fscanf(statm, "%llu %llu", &total, &resident);
  std::fclose(statm);
  return fields == 2 ? resident * 4096 : 0;
}

/// Of experts, a token's: its copies with their gradients, what each expert computes as one network does, and the sum
/// with its fp32 twin.
std::int64_t experts_width(const model::ExpertsSpec& experts, std::int64_t hidden) {
  const std::int64_t copies = experts.router.top_k;
  return copies * (4 * hidden + 7 * experts.intermediate) + 3 * hidden + 7 * experts.shared_intermediate +
         4 * experts.router.experts;
}

/// How often each part of a layer is alive at the end of a forward pass with gradients.
struct Copies {
  std::int64_t qkv, heads, hidden, intermediate;
};
/// qkv and its gradient, attention output, residuals and norms, gate|up with its gradient, the gated product twice and
/// once more packed for the gradient of the weights.
constexpr Copies on_cpu{2, 2, 6, 7};
/// The heads of qkv, attention output, the sum, both norms and the gradient, gate|up and the gated product, whose
/// gradients take their place.
constexpr Copies on_device{1, 1, 4, 3};

/// Activations of one micro-batch that are alive together, of the layer that has most of them.
std::int64_t activation_width(const model::DecoderSpec& spec, const Copies& copies) {
  std::int64_t widest = 0;
  for (const model::LayerSpec& layer : spec.layers) {
    const auto& attention = layer.attention;
    const std::int64_t qkv = (attention.heads + 2 * attention.kv_heads) * attention.head_dim;
    const std::int64_t heads = attention.heads * attention.head_dim;
    const std::int64_t feed =
        layer.experts ? experts_width(*layer.experts, spec.hidden_size) : copies.intermediate * layer.mlp.intermediate;
    widest = std::max(widest, copies.qkv * qkv + copies.heads * heads + copies.hidden * spec.hidden_size + feed);
  }
  return widest;
}

/// Weights of the experts of a layer that are loaded as one tensor and taken apart.
std::int64_t fused_experts(const model::DecoderSpec& spec) {
  std::int64_t most = 0;
  for (const model::LayerSpec& layer : spec.layers)
    if (layer.experts && layer.experts->fused)
      most = std::max(most, 3 * layer.experts->router.experts * layer.experts->intermediate * spec.hidden_size);
  return most;
}

bool tunes(const recipe::Recipe& recipe, const RunShape& shape) { return recipe.iters > 0 && shape.samples > 0; }

std::int64_t batch_tokens(const recipe::Recipe& recipe, const RunShape& shape) {
  return std::min(shape.samples, recipe.batch_size) * shape.length;
}

/// On a device: weights with their rounded twins, V and the best codes, the gradient of the largest projection, both
/// streams, and of a minibatch what the backward pass needs, or of all samples the output.
std::uint64_t device_memory(const model::DecoderSpec& spec, const recipe::Recipe& recipe, const RunShape& shape,
                            std::int64_t layers) {
  const std::int64_t bytes = shape.element_bytes, stream = shape.samples * shape.length * spec.hidden_size * bytes;
  const std::int64_t kept = recipe.enable_torch_compile ? 1 : 4;
  const std::int64_t activations =
      tunes(recipe, shape) ? batch_tokens(recipe, shape) * layers * activation_width(spec, on_device) * bytes * kept
                           : 0;
  const std::int64_t per_weight = 2 * bytes + (tunes(recipe, shape) ? 4 + 1 + bytes / 2 : 1);
  constexpr std::int64_t workspaces = std::int64_t{128} << 20;  // of the libraries that multiply
  return static_cast<std::uint64_t>(shape.tuned_weights * per_weight + 2 * stream + std::max(activations, stream) +
                                    2 * layers * fused_experts(spec) * bytes + workspaces);
}

/// @param streams bytes of what is kept of all samples, and of what else is in memory
/// @param width elements of a token of a micro-batch that are alive together
std::uint64_t total_memory(const recipe::Recipe& recipe, const RunShape& shape, std::int64_t streams,
                           std::int64_t width) {
  // Per tuned weight: the weight and its rounded twin, V (fp32), best codes (1 byte); in fp32 also the gradient (of the
  // largest projection, about half of all), which in bf16 is never whole.
  const bool fused = recipe.enable_torch_compile && recipe.momentum == 0.0;
  // The plain step holds some six fp32 tensors like the weight at once; momentum keeps a second V.
  const std::int64_t temporaries =
      (shape.element_bytes == 2 ? 0 : 2) + (fused ? 0 : 24) + (recipe.momentum == 0.0 ? 0 : 4);
  const std::int64_t per_weight =
      tunes(recipe, shape) ? 2 * shape.element_bytes + 4 + 1 + temporaries : 2 * shape.element_bytes + 1;
  const std::int64_t kept = recipe.enable_torch_compile ? 1 : 4;  // plain operations keep what the fused compute again
  const std::int64_t activations = batch_tokens(recipe, shape) * width * shape.element_bytes * kept;
  // Of LibTorch and of the C library's arenas, what only the first products bring into memory. Measured.
  constexpr std::int64_t first_use = std::int64_t{32} << 20;
  return (shape.device.is_cpu() ? resident_bytes() : 0) +
         static_cast<std::uint64_t>(shape.tuned_weights * per_weight + streams + activations + first_use);
}

}  // namespace

RunShape run_shape(const recipe::Assignment& assignment, const recipe::Recipe& recipe,
                   const calibration::SampleSet* data, at::ScalarType compute_type, at::Device device) {
  RunShape shape;
  shape.device = device;
  if (data) {
    shape.samples = std::min<std::int64_t>(static_cast<std::int64_t>(data->size()), recipe.nsamples);
    shape.length = data->sequence_length();
  } else if (recipe.iters > 0) {
    shape.samples = recipe.nsamples;
    shape.length = recipe.seqlen;
  }
  shape.element_bytes = static_cast<std::int64_t>(c10::elementSize(compute_type));
  std::map<std::int64_t, std::int64_t> by_block;
  for (const auto& entry : assignment.linears)
    if (entry.group && entry.module->block >= 0 && entry.module->shape.size() == 2)
      by_block[entry.module->block / recipe.nblocks] += entry.module->shape[0] * entry.module->shape[1];
  for (const auto& [block, weights] : by_block) {
    shape.tuned_weights = std::max(shape.tuned_weights, weights);
    shape.tuned_weights_total += weights;
  }
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
  const auto begin = std::chrono::steady_clock::now();
  do {
    const auto start = std::chrono::steady_clock::now();
    at::mm_out(c, a, b);
    device::synchronize(device);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  } while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(100));
  return 2.0 * static_cast<double>(rows) * static_cast<double>(n) * static_cast<double>(n) / best;
}

std::uint64_t predict_memory(const model::DecoderSpec& spec, const recipe::Recipe& recipe, const RunShape& shape) {
  // Input, target, output and the normed input of every sample, and the layers' experts that are never tuned.
  const std::int64_t streams = 4 * shape.samples * shape.length * spec.hidden_size * shape.element_bytes;
  const std::int64_t untuned = 2 * fused_experts(spec) * shape.element_bytes;
  const std::int64_t layers = std::min(recipe.nblocks, static_cast<std::int64_t>(spec.layers.size()));
  if (!shape.device.is_cpu()) return device_memory(spec, recipe, shape, layers);
  return total_memory(recipe, shape, streams + layers * untuned, layers * activation_width(spec, on_cpu));
}

std::uint64_t predict_layer_memory(std::int64_t out, std::int64_t in, const recipe::Recipe& recipe,
                                   const RunShape& shape) {
  const std::int64_t streams = shape.samples * shape.length * (in + 2 * out) * shape.element_bytes;
  // The minibatch of both streams, output and gradient, each once more packed for the products.
  return total_memory(recipe, shape, streams, 2 * (in + 2 * out));
}

double predict_seconds(const model::DecoderSpec& spec, const recipe::Recipe& recipe, const RunShape& shape) {
  // 2 operations a weight and token forward, 4 backward; a reference pass, a round-to-nearest pass and an output pass.
  // Searched scales are weighed in one more.
  const double weights = static_cast<double>(shape.tuned_weights_total);
  const double tuning =
      tunes(recipe, shape) ? 6.0 * weights * static_cast<double>(batch_tokens(recipe, shape) * recipe.iters) : 0.0;
  const double passes =
      (recipe.searches_scales() ? 4.0 : 3.0) * 2.0 * weights * static_cast<double>(shape.samples * shape.length);
  constexpr double share_of_products = 0.8;  // the rest is attention, norms, rounding
  return (tuning + passes) / (measured_flops(spec.hidden_size, shape.element_bytes, shape.device) * share_of_products);
}

}  // namespace autoround::session
