#include "exporter/gguf_rope.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "model/rope.hpp"

namespace autoround::exporter {
namespace {

using model::RopeSpec;
using model::RopeType;

/// Of the layers that rotate, one without a window, else one with one; null: none rotates.
const model::AttentionSpec* rotating_attention(const model::DecoderSpec& spec) {
  const model::AttentionSpec* found = nullptr;
  for (const model::LayerSpec& layer : spec.layers) {
    if (!layer.attention.rope) continue;
    if (layer.attention.window == 0) return &layer.attention;
    if (found == nullptr) found = &layer.attention;
  }
  return found;
}

/// That of the layers with a window; null: none has one.
const RopeSpec* rope_of_windows(const model::DecoderSpec& spec) {
  for (const model::LayerSpec& layer : spec.layers)
    if (layer.attention.rope && layer.attention.window > 0) return &*layer.attention.rope;
  return nullptr;
}

void add_yarn(const std::string& scaling, const model::AttentionSpec& attention, GgufMetadata& metadata) {
  const RopeSpec& rope = *attention.rope;
  metadata.add_text(scaling + "type", "yarn");
  metadata.add_number(scaling + "factor", rope.factor);
  metadata.add_integer(scaling + "original_context_length", std::llround(rope.original_max_position));
  const double turned = model::rope_attention_factor(rope);
  // Of latent attention llama.cpp lengthens whole keys, by a factor that it is told of beside that of what is rotated.
  const double whole = attention.latent
                           ? std::sqrt(attention.scale * std::sqrt(static_cast<double>(attention.key_dim()))) / turned
                           : 1.0;
  if (std::abs(whole - 1.0) > 1e-9) {
    metadata.add_number(scaling + "attn_factor", turned);
    metadata.add_number(scaling + "yarn_log_multiplier", (whole - 1.0) / std::log(rope.factor));
    return;
  }
  // llama.cpp multiplies it with the factor of the paper.
  const double of_paper = rope.factor <= 1.0 ? 1.0 : 0.1 * std::log(rope.factor) + 1.0;
  metadata.add_number(scaling + "attn_factor", turned / of_paper);
}

void add_linear(const std::string& scaling, const model::AttentionSpec& attention, GgufMetadata& metadata) {
  const double factor = attention.rope->factor;
  metadata.add_text(scaling + "type", "linear");
  metadata.add_number(scaling + "factor", factor);
  // Keys of latent attention are lengthened by the factor of yarn's paper however they are scaled.
  if (attention.latent && factor > 1.0)
    metadata.add_number(scaling + "yarn_log_multiplier",
                        (1.0 / (0.1 * std::log(factor) + 1.0) - 1.0) / std::log(factor));
}

at::Tensor divisors(const std::vector<double>& factors) { return at::tensor(factors, at::kDouble).to(at::kFloat); }

}  // namespace

void check_rope(const GgufArchitecture& architecture, const model::DecoderSpec& spec, Offences& offences) {
  const bool windows = architecture.window_period > 0;
  const model::AttentionSpec* attention = rotating_attention(spec);
  if (attention == nullptr) {
    offences.emplace_back("no layer has rotary positions");
    return;
  }
  const RopeSpec *rope = &*attention->rope, *of_windows = windows ? rope_of_windows(spec) : nullptr;
  for (const model::LayerSpec& layer : spec.layers) {
    const RopeSpec* wanted = layer.attention.window > 0 && of_windows != nullptr ? of_windows : rope;
    if (!layer.attention.rope || *layer.attention.rope == *wanted) continue;
    offences.emplace_back("layers rotate positions in different ways");
    break;
  }
  if (of_windows != nullptr && *of_windows != *rope && of_windows->type != RopeType::standard)
    offences.emplace_back("llama.cpp scales no positions of layers with a window");
  const bool is_usual = rope->beta_fast == 32.0 && rope->beta_slow == 1.0;
  if (rope->type == RopeType::yarn && !is_usual)
    offences.emplace_back("llama.cpp takes beta_fast 32 and beta_slow 1 for granted in yarn");
  if (rope->type == RopeType::llama3 && !architecture.has_llama3)
    offences.emplace_back("llama.cpp knows no llama3 positions in this family");
  if (rope->type == RopeType::longrope && !architecture.has_longrope)
    offences.emplace_back("llama.cpp knows no longrope positions in this family");
}

void add_rope_keys(const std::string& prefix, const model::DecoderSpec& spec, GgufMetadata& metadata) {
  const model::AttentionSpec& attention = *rotating_attention(spec);
  const RopeSpec& rope = *attention.rope;
  metadata.add_integer(prefix + "rope.dimension_count", rope.rotary_dim);
  metadata.add_number(prefix + "rope.freq_base", rope.theta);
  // Of some families llama.cpp has a default of its own for it.
  if (const RopeSpec* of_windows = rope_of_windows(spec))
    metadata.add_number(prefix + "rope.freq_base_swa", of_windows->theta);
  const std::string scaling = prefix + "rope.scaling.";
  switch (rope.type) {
    case RopeType::linear:
      add_linear(scaling, attention, metadata);
      break;
    case RopeType::yarn:
      add_yarn(scaling, attention, metadata);
      break;
    case RopeType::longrope:
      metadata.add_text(scaling + "type", "longrope");
      metadata.add_integer(scaling + "original_context_length", std::llround(rope.original_max_position));
      metadata.add_number(scaling + "attn_factor", model::rope_attention_factor(rope));
      break;
    case RopeType::llama3:   // rope_tensors
    case RopeType::dynamic:  // as it is up to the length that the model was trained with
    case RopeType::standard:
      break;
  }
}

std::vector<std::pair<std::string, at::Tensor>> rope_tensors(const model::DecoderSpec& spec) {
  const RopeSpec& rope = *rotating_attention(spec)->rope;
  if (rope.type == RopeType::longrope)
    return {{"rope_factors_long.weight", divisors(rope.long_factor)},
            {"rope_factors_short.weight", divisors(rope.short_factor)}};
  if (rope.type != RopeType::llama3) return {};
  RopeSpec plain = rope;
  plain.type = RopeType::standard;
  return {{"rope_freqs.weight", model::rope_frequencies(plain, 1) / model::rope_frequencies(rope, 1)}};
}

}  // namespace autoround::exporter
