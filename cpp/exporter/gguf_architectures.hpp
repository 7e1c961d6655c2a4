// How llama.cpp names and computes the model families: one row of a table each. A family without a row is refused.
#pragma once

#include <ATen/core/Tensor.h>

#include <gsl/span>
#include <optional>
#include <string>
#include <string_view>

#include "exporter/folder_rules.hpp"
#include "exporter/gguf_file.hpp"
#include "model/spec.hpp"

namespace autoround::exporter {

struct GgufName {
  std::string_view module;  // below a decoder layer; * stands for the number of an expert
  std::string_view name;    // below "blk.N."
};

struct GgufArchitecture {
  std::string_view model_type;  // of config.json
  std::string_view name;        // general.architecture
  /// llama.cpp rotates consecutive pairs of a head where the checkpoint's pairs are i and i + half: the rows of q and k
  /// are stored in another order.
  bool pairs_rows = false;
  model::Activation activation = model::Activation::silu;  // gelu_tanh stands for gelu too
  bool has_biases = false;                                 // of attention's output and of feed-forward networks
  bool has_head = true;  // false: llama.cpp takes the embeddings for the head, whatever the file holds
  /// Positions that are scaled by a tensor of divisors, which llama.cpp looks for in these families alone.
  bool has_llama3 = false, has_longrope = false;
  const char* length_key = nullptr;  // of config.json, where it knows better than max_position_embeddings
  std::int64_t window_period = 0;    // all but every n-th layer have a sliding window; 0: llama.cpp knows none
  gsl::span<const GgufName> names;   // of modules that not every family has; before the common ones
  /// Keys beyond those of all families; may be null.
  void (*add_keys)(const std::string& prefix, const model::DecoderSpec& spec, GgufMetadata& metadata) = nullptr;
  /// What llama.cpp would compute otherwise than the checkpoint says; may be null.
  void (*check)(const model::DecoderSpec& spec, Offences& offences) = nullptr;
};

/// @throws Error unsupported, with the list of those that are known.
const GgufArchitecture& gguf_architecture(const std::string& model_type);

/// The number of layers before the first that has experts: of all layers where none has.
std::size_t layers_before_experts(const model::DecoderSpec& spec);

using IsUsual = bool (*)(const model::LayerSpec& layer, std::size_t index);
/// Refuses the model for the first layer that is not as llama.cpp takes for granted. @param usual what it takes
void check_layers(const model::DecoderSpec& spec, const char* usual, IsUsual is_usual, Offences& offences);

/// Why llama.cpp would not compute what the checkpoint says.
Offences gguf_offences(const GgufArchitecture& architecture, const model::DecoderSpec& spec);

/// Keys and values that describe the model, from general.architecture on.
void add_architecture(const GgufArchitecture& architecture, const model::DecoderSpec& spec, GgufMetadata& metadata);

/// In which order the rows of a tensor are stored.
struct GgufRows {
  enum class Order {
    kept,
    paired,   // of each head row 0, row half, row 1, row half + 1 ...
    by_kind,  // q of all heads, then k, then v, from q, k and v of each head
  };
  Order order = Order::kept;
  std::int64_t heads = 0;

  /// The row of the checkpoint that each stored row is. int64 [rows]
  at::Tensor sources(std::int64_t rows) const;
};

/// Where a tensor of the checkpoint goes.
struct GgufPlace {
  std::string name;         // "blk.0.attn_q.weight"
  std::int64_t slice = -1;  // of a tensor that stacks all experts
  GgufRows rows = {};
};
/// nullopt: the family has no such tensor.
std::optional<GgufPlace> gguf_place(const GgufArchitecture& architecture, const model::DecoderSpec& spec,
                                    const std::string& tensor);

}  // namespace autoround::exporter
