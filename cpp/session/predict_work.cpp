#include "session/predict_work.hpp"

#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "model/blocked_attention.hpp"
#include "model/device_ops.hpp"
#include "model/kernels/kernels.hpp"
#include "model/linear_products.hpp"
#include "model/ops.hpp"
#include "model/product_pieces.hpp"

namespace autoround::session {
namespace {

at::ScalarType type_of(const RunShape& shape) { return shape.element_bytes == 2 ? at::kBFloat16 : at::kFloat; }

bool fuses_attention(const model::AttentionSpec& spec, const recipe::Recipe& recipe, const RunShape& shape) {
  if (!recipe.enable_torch_compile) return false;
  return shape.device.is_cpu()
             ? model::FusedOps::fuses_attention(spec, type_of(shape))
             : model::DeviceOps::fuses_attention(spec, type_of(shape), shape.length, shape.deterministic);
}

/// Bytes of a layer: kept for the backward pass, and what that has beside it, or a pass without gradients.
struct LayerBytes {
  std::int64_t kept = 0, beside = 0, passed = 0;
};

LayerBytes layer_bytes(const model::AttentionSpec& spec, const RunShape& shape, std::int64_t samples) {
  // Heads after the rotation, or their gradients, in fp32.
  const std::int64_t heads = (spec.heads + 2 * spec.kv_heads) * spec.head_dim * shape.length * 4;
  const std::int64_t scores = spec.heads * model::most_scores(spec, shape.length);
  // In fp32 two, and three in the backward pass; what meets the values in a narrower type; a softcap's own. LibTorch's
  // products have half as much again for themselves: measured.
  const std::int64_t narrow = shape.element_bytes < 4 ? shape.element_bytes : 0, bent = spec.softcap > 0.0 ? 4 : 0;
  return {samples * heads, samples * scores * (18 + 2 * narrow + 2 * bent),
          samples * (heads + scores * (8 + narrow + bent))};
}

/// Bytes that threads pack of a linear: in passes without gradients, and where it is tuned.
struct Packed {
  std::int64_t passing = 0, tuning = 0;
};

/// With the pieces of LinearProducts, as many of them as there are threads. Inputs packed as a whole count as copies.
Packed packed_bytes(std::int64_t out, std::int64_t in, std::int64_t tokens) {
  const model::ProductKernels& kernels = *model::kernels::select_kernels().products;
  const std::int64_t threads = at::get_num_threads();
  const auto stored = [&](std::int64_t columns, std::int64_t depth) {
    const model::Pieces pieces(kernels, tokens, columns, depth, model::kMostPacked);
    const std::int64_t tasks = pieces.groups() * model::divide_up(tokens, pieces.slice);
    return std::min(threads, tasks) * (pieces.group * pieces.panel * 2 + pieces.partial_bytes());
  };
  const model::Pieces slices = model::gradient_pieces(kernels, out, in, tokens, threads);
  const std::int64_t gradient = std::min(threads, model::divide_up(out, slices.slice)) *
                                (slices.slice * (slices.pairs * 4 + in * 2) + slices.partial_bytes());
  const std::int64_t forward = stored(out, in);
  return {forward, std::max({forward, stored(in, out), gradient})};
}

bool packs(const recipe::Recipe& recipe, const RunShape& shape, std::int64_t tokens) {
  return tokens > 0 && recipe.enable_torch_compile && shape.element_bytes == 2 && model::LinearProducts::packs_bf16();
}

/// Of a thread: its stack and its heap of the C library, as far as they are touched. Measured.
constexpr std::int64_t own_bytes = 96 << 10;

struct Linear {
  std::int64_t out, in;
};

std::vector<Linear> linears_of(const model::LayerSpec& layer, std::int64_t hidden) {
  const model::AttentionSpec& attention = layer.attention;
  std::vector<Linear> linears = {{(attention.heads + 2 * attention.kv_heads) * attention.head_dim, hidden},
                                 {hidden, attention.heads * attention.value_dim()}};
  const auto feed = [&](std::int64_t intermediate, bool gated) {
    linears.push_back({(gated ? 2 : 1) * intermediate, hidden});
    linears.push_back({hidden, intermediate});
  };
  if (!layer.experts) {
    feed(layer.mlp.intermediate, layer.mlp.gated);
  } else {
    feed(layer.experts->intermediate, true);
    if (layer.experts->shared_intermediate > 0) feed(layer.experts->shared_intermediate, true);
  }
  return linears;
}

/// What a kernel lays out of one head of keys, in each thread, and with gradients what it sums up head by head.
struct AttentionBytes {
  std::int64_t layouts = 0, sums = 0;
};

AttentionBytes attention_bytes(const model::AttentionSpec& spec, const RunShape& shape, std::int64_t samples) {
  const model::kernels::AttentionKernels& kernels = *model::FusedOps::attention_kernels(type_of(shape));
  model::kernels::Attention a;
  a.sequence = shape.length;
  a.heads = spec.heads;
  a.kv_heads = spec.kv_heads;
  a.head_dim = spec.head_dim;
  a.by_head = model::kernels::attends_by_head(samples, spec.heads, spec.kv_heads);
  const auto layout = static_cast<std::int64_t>(kernels.backward->workspace_bytes(a));
  const std::int64_t tasks = samples * model::kernels::tasks_of_sample(a), threads = at::get_num_threads();
  return {std::min(threads, tasks) * layout, a.by_head ? tasks * kernels.head_floats(a) * 4 : 0};
}

/// Of passes of so many samples, and of the last of a step, which may have fewer.
std::int64_t attention_bytes(const model::AttentionSpec& spec, const recipe::Recipe& recipe, const RunShape& shape,
                             std::int64_t samples) {
  const AttentionBytes full = attention_bytes(spec, shape, samples);
  if (!tunes(recipe, shape)) return full.layouts;
  const std::int64_t rest = step_samples(recipe, shape) % samples;
  return full.layouts + full.sums + (rest > 0 ? attention_bytes(spec, shape, rest).sums : 0);
}

/// Three keep what they pack: the model's pass, the block's passes and the loop.
std::int64_t product_bytes(const std::vector<Linear>& linears, std::int64_t tokens) {
  Packed most;
  for (const Linear& linear : linears) {
    const Packed packed = packed_bytes(linear.out, linear.in, tokens);
    most.passing = std::max(most.passing, packed.passing);
    most.tuning = std::max(most.tuning, packed.tuning);
  }
  return 2 * most.passing + most.tuning;
}

}  // namespace

ScoreBytes score_bytes(const model::DecoderSpec& spec, const recipe::Recipe& recipe, const RunShape& shape,
                       std::int64_t layers, std::int64_t samples) {
  ScoreBytes most;
  for (std::size_t first = 0; first < spec.layers.size(); first += static_cast<std::size_t>(layers)) {
    const std::size_t end = std::min(spec.layers.size(), first + static_cast<std::size_t>(layers));
    std::int64_t kept = 0, beside = 0;
    for (std::size_t i = first; i < end; ++i) {
      const model::AttentionSpec& attention = spec.layers[i].attention;
      if (fuses_attention(attention, recipe, shape)) continue;
      const LayerBytes bytes = layer_bytes(attention, shape, samples);
      kept += bytes.kept;
      beside = std::max(beside, bytes.beside);
      most.passed = std::max(most.passed, bytes.passed);
    }
    most.trained = std::max(most.trained, kept + beside);
  }
  return most;
}

std::int64_t thread_bytes(const model::DecoderSpec& spec, const recipe::Recipe& recipe, const RunShape& shape,
                          std::int64_t samples) {
  const std::int64_t threads = at::get_num_threads(), tokens = samples * shape.length;
  std::int64_t products = 0, attention = 0;
  for (const model::LayerSpec& layer : spec.layers) {
    if (packs(recipe, shape, tokens))
      products = std::max(products, product_bytes(linears_of(layer, spec.hidden_size), tokens));
    const model::AttentionSpec& heads = layer.attention;
    if (tokens > 0 && fuses_attention(heads, recipe, shape))
      attention = std::max(attention, attention_bytes(heads, recipe, shape, samples));
  }
  return attention + products + threads * own_bytes;
}

std::int64_t thread_bytes(std::int64_t out, std::int64_t in, const recipe::Recipe& recipe, const RunShape& shape,
                          std::int64_t samples) {
  const std::int64_t tokens = samples * shape.length;
  const std::int64_t products = packs(recipe, shape, tokens) ? product_bytes({{out, in}}, tokens) : 0;
  return products + at::get_num_threads() * own_bytes;
}

}  // namespace autoround::session
