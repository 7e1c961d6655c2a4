// What is alive together at the peak of a run.
#include <algorithm>

#include "model/linear_products.hpp"
#include "session/memory_plan.hpp"
#include "session/predict.hpp"
#include "session/predict_work.hpp"
#include "tuner/schedule.hpp"

namespace autoround::session {
namespace {

/// How often each part of a layer is alive at once.
struct Copies {
  std::int64_t qkv, heads, hidden, intermediate;
  std::int64_t ungated;                             // intermediate, where up has no gate beside it
  std::int64_t routed_hidden, routed_intermediate;  // of a copy of a token that goes to an expert
};
/// qkv and its gradient, attention output, residuals, norms and their gradients, gate|up with its gradient, the gated
/// product twice and once more packed for the gradient of the weights; without gate, up and what is made of it, each
/// with its gradient. Of a copy what an expert took and gave, all that they gave side by side, two gradients of such
/// rows, gate|up with half of its gradient and the gated product twice.
constexpr Copies on_cpu{2, 2, 8, 7, 4, 5, 5};
/// Of plain operations, which also keep what the fused ones compute again, and take norms apart in fp32. Measured.
constexpr Copies on_cpu_plain{2, 2, 26, 6, 5, 10, 10};
/// Without gradients: the residual, its norm and the result, gate|up and the gated product. Of a copy what an expert
/// gave and what it took, whose place all together take.
constexpr Copies of_a_pass{1, 1, 4, 3, 2, 2, 1};
/// The heads of qkv, attention output, input, sum and output, gate|up and the gated product, whose gradients take their
/// place. Norms are computed again, unless they were rounded.
constexpr Copies on_device{1, 1, 3, 3, 2, 4, 7};

/// Of experts, a token's: its copies, what each expert computes as one network does, and the sum with what the router
/// sees in fp32.
std::int64_t experts_width(const model::ExpertsSpec& experts, std::int64_t hidden, const Copies& copies) {
  const std::int64_t copy = copies.routed_hidden * hidden + copies.routed_intermediate * experts.intermediate;
  return experts.router.top_k * copy + 3 * hidden + 7 * experts.shared_intermediate + 4 * experts.router.experts;
}

/// Elements of a token that are alive together, in the layer that has most of them.
std::int64_t activation_width(const model::DecoderSpec& spec, const Copies& copies) {
  std::int64_t widest = 0;
  for (const model::LayerSpec& layer : spec.layers) {
    const auto& attention = layer.attention;
    const std::int64_t qkv = (attention.heads + 2 * attention.kv_heads) * attention.head_dim;
    const std::int64_t heads = attention.heads * attention.head_dim;
    const std::int64_t feed = layer.experts
                                  ? experts_width(*layer.experts, spec.hidden_size, copies)
                                  : (layer.mlp.gated ? copies.intermediate : copies.ungated) * layer.mlp.intermediate;
    widest = std::max(widest, copies.qkv * qkv + copies.heads * heads + copies.hidden * spec.hidden_size + feed);
  }
  return widest;
}

/// Elements of a token's inputs of all linears: qkv and gate|up have one together.
std::int64_t inputs_width(const model::DecoderSpec& spec) {
  std::int64_t widest = 0;
  for (const model::LayerSpec& layer : spec.layers) {
    const std::int64_t heads = layer.attention.heads * layer.attention.head_dim;
    const std::int64_t feed =
        layer.experts ? layer.experts->router.top_k * layer.experts->intermediate + layer.experts->shared_intermediate
                      : layer.mlp.intermediate;
    widest = std::max(widest, 2 * spec.hidden_size + heads + feed);
  }
  return widest;
}

/// Plain operations keep what the fused ones of a device compute again.
std::int64_t kept_on_device(const recipe::Recipe& recipe) { return recipe.enable_torch_compile ? 1 : 4; }

bool is_fused(const recipe::Recipe& recipe) { return recipe.enable_torch_compile && recipe.momentum == 0.0; }

/// Of V, of a weight.
std::int64_t bytes_of_value(const recipe::Recipe& recipe) {
  return is_fused(recipe) && recipe.iters <= tuner::most_iterations_in_ticks ? 2 : 4;
}

/// Beside V, of a weight: momentum keeps a second one.
std::int64_t bytes_of_momentum(const recipe::Recipe& recipe) { return recipe.momentum == 0.0 ? 0 : 4; }

/// On a device the plain step holds some six fp32 tensors like the weights at once.
std::int64_t bytes_of_device_step(const recipe::Recipe& recipe) {
  return (is_fused(recipe) ? 0 : 24) + bytes_of_momentum(recipe);
}

bool has_experts(const model::DecoderSpec& spec) {
  return std::any_of(spec.layers.begin(), spec.layers.end(),
                     [](const auto& layer) { return layer.experts.has_value(); });
}

constexpr std::int64_t device_workspaces = std::int64_t{128} << 20;  // of the libraries that multiply

/// On a device, bytes of a tuned weight: itself, its rounded twin, V, the best codes, and the gradient, of which it has
/// `gradient` bytes.
std::int64_t on_device_of_tuned(const recipe::Recipe& recipe, const RunShape& shape, bool accumulates,
                                std::int64_t gradient) {
  const std::int64_t in_loop = bytes_of_value(recipe) + gradient + (accumulates ? 4 : 0) + bytes_of_device_step(recipe);
  return 2 * shape.element_bytes + 1 + (tunes(recipe, shape) ? in_loop : 0);
}

/// On a device: weights with what belongs to them while they are tuned, the gradient being that of the largest
/// projection, both streams, and of a minibatch what the backward pass needs, or of all samples the output.
std::uint64_t device_memory(const model::DecoderSpec& spec, const recipe::Recipe& recipe, const RunShape& shape,
                            std::int64_t layers, const MemoryMode& mode) {
  const std::int64_t bytes = shape.element_bytes, samples = std::min(shape.samples, mode.micro_batch);
  const std::int64_t tokens = samples * shape.length;
  const std::int64_t stream = mode.streams_outside ? 0 : shape.samples * shape.length * spec.hidden_size * bytes;
  const std::int64_t width = activation_width(spec, on_device) + (shape.rounds_inputs ? spec.hidden_size : 0);
  const ScoreBytes scores = score_bytes(spec, recipe, shape, layers, samples);
  const std::int64_t activations = tunes(recipe, shape)
                                       ? tokens * layers * width * bytes * kept_on_device(recipe) + scores.trained
                                       : tokens * activation_width(spec, of_a_pass) * bytes + scores.passed;
  // Of the largest projection; of gate and up of all experts together, two of three weights.
  const std::int64_t gradient = has_experts(spec) ? 2 * bytes / 3 + 1 : bytes / 2;
  const std::int64_t per_weight = on_device_of_tuned(recipe, shape, samples < step_samples(recipe, shape), gradient);
  const std::int64_t block = shape.tuned_weights * per_weight + shape.other_weights * bytes + 2 * stream +
                             std::max(activations, stream + scores.passed);
  return static_cast<std::uint64_t>(std::max(block, shape.lone_weights * (bytes + 2)) + device_workspaces);
}

/// Bytes of a tuned weight while its block is tuned: the weight and its rounded twin, V, the best codes (1
/// byte); where it is ever whole, also the gradient (of the largest projection, about half of all).
std::int64_t bytes_of_tuned(const recipe::Recipe& recipe, const RunShape& shape, bool accumulates) {
  const bool packs = is_fused(recipe) && shape.element_bytes == 2 && model::LinearProducts::packs_bf16();
  const std::int64_t gradient = packs ? 0 : shape.element_bytes / 2;
  return 2 * shape.element_bytes + bytes_of_value(recipe) + 1 + gradient + bytes_of_momentum(recipe) +
         (accumulates ? 4 : 0);
}

/// What a run works on, in elements.
struct Work {
  std::int64_t reference_streams = 3;    // of all samples, alive while full-precision layers run
  std::int64_t stream = 0;               // width of one
  std::int64_t trained = 0, passed = 0;  // of a token of a micro-batch, alive together with gradients and without
  std::int64_t loaded = 0;               // weights of a block that are not tuned
  ScoreBytes scores;                     // of a micro-batch
  std::int64_t threads = 0;              // bytes that threads have for themselves
};

std::uint64_t host_memory(const recipe::Recipe& recipe, const RunShape& shape, const MemoryMode& mode,
                          const Work& work) {
  const std::int64_t bytes = shape.element_bytes, samples = std::min(shape.samples, mode.micro_batch);
  const std::int64_t tokens = samples * shape.length;
  const std::int64_t stream = (mode.streams_outside ? tokens : shape.samples * shape.length) * work.stream * bytes;
  const std::int64_t block = (shape.tuned_weights + work.loaded) * bytes;

  // The pass over all samples that gives the targets; one with rounded weights: input, target and output; tuning.
  const std::int64_t passing = tokens * work.passed * bytes + work.scores.passed;
  const std::int64_t reference = block + work.reference_streams * stream + passing;
  const std::int64_t rounding = block + shape.tuned_weights * (bytes + 1) + 3 * stream + passing;
  std::int64_t most = std::max({reference, rounding, shape.lone_weights * (bytes + 2)});
  if (tunes(recipe, shape)) {
    const std::int64_t held =
        work.loaded * bytes +
        shape.tuned_weights * bytes_of_tuned(recipe, shape, samples < step_samples(recipe, shape));
    const std::int64_t loop = 2 * stream + tokens * work.trained * bytes + work.scores.trained;
    most = std::max(most, held + std::max(loop, 3 * stream + passing));
  }
  // Of LibTorch and of the C library's arenas, what only the first products bring into memory. Measured.
  constexpr std::int64_t first_use = std::int64_t{32} << 20;
  return shape.resident + shape.kept + static_cast<std::uint64_t>(most + work.threads + first_use);
}

}  // namespace

std::uint64_t predict_memory(const model::DecoderSpec& spec, const recipe::Recipe& recipe, const RunShape& shape,
                             const MemoryMode& mode) {
  const std::int64_t layers = std::min(recipe.nblocks, static_cast<std::int64_t>(spec.layers.size()));
  if (!shape.device.is_cpu()) return device_memory(spec, recipe, shape, layers, mode);
  Work work;
  work.reference_streams = static_cast<std::int64_t>(most_streams(layers));
  work.stream = spec.hidden_size;
  const Copies& copies = recipe.enable_torch_compile ? on_cpu : on_cpu_plain;
  work.trained = layers * (activation_width(spec, copies) + (shape.rounds_inputs ? inputs_width(spec) : 0));
  work.passed = activation_width(spec, of_a_pass);
  work.loaded = shape.other_weights;
  const std::int64_t samples = std::min(shape.samples, mode.micro_batch);
  work.scores = score_bytes(spec, recipe, shape, layers, samples);
  work.threads = thread_bytes(spec, recipe, shape, samples);
  return host_memory(recipe, shape, mode, work);
}

std::uint64_t predict_layer_memory(std::int64_t out, std::int64_t in, const recipe::Recipe& recipe,
                                   const RunShape& shape, const MemoryMode& mode) {
  Work work;
  work.stream = (in + 2 * out) / 3;
  // The minibatch of both streams, output and gradient, each once more packed for the products.
  work.trained = 2 * (in + 2 * out) + (shape.rounds_inputs ? in : 0);
  work.passed = in + out;
  if (!shape.device.is_cpu()) {
    // Input, target and output of all samples: a layer's data is there whole.
    const std::int64_t bytes = shape.element_bytes, samples = std::min(shape.samples, mode.micro_batch);
    const std::int64_t streams = shape.samples * shape.length * (in + 2 * out) * bytes;
    const std::int64_t pass = samples * shape.length * (tunes(recipe, shape) ? work.trained : work.passed) * bytes;
    const bool accumulates = samples < step_samples(recipe, shape);
    return static_cast<std::uint64_t>(shape.tuned_weights *
                                          on_device_of_tuned(recipe, shape, accumulates, /*gradient=*/bytes) +
                                      streams + pass + device_workspaces);
  }
  work.threads = thread_bytes(out, in, recipe, shape, std::min(shape.samples, mode.micro_batch));
  return host_memory(recipe, shape, mode, work);
}

std::uint64_t stream_bytes(const RunShape& shape, std::int64_t width) {
  return static_cast<std::uint64_t>(shape.samples * shape.length * width * shape.element_bytes);
}

}  // namespace autoround::session
