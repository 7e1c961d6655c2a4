// How llama.cpp names and computes the model families: one row of a table each. A family without a row is refused.
#pragma once

#include <gsl/span>
#include <optional>
#include <string>
#include <string_view>

#include "exporter/folder_rules.hpp"
#include "exporter/gguf_file.hpp"
#include "model/spec.hpp"

namespace autoround::exporter {

struct GgufName {
  std::string_view module, name;  // below a decoder layer, below "blk.N."
};

struct GgufArchitecture {
  std::string_view model_type;  // of config.json
  std::string_view name;        // general.architecture
  /// llama.cpp rotates consecutive pairs of a head where the checkpoint's pairs are i and i + half: the rows of q and k
  /// are stored in another order.
  bool pairs_rows;
  gsl::span<const GgufName> names;  // of modules that only this family has
  /// Keys beyond those of all families; may be null.
  void (*add_keys)(const std::string& prefix, const model::DecoderSpec& spec, GgufMetadata& metadata);
  /// What llama.cpp would compute otherwise than the checkpoint says; may be null.
  void (*check)(const model::DecoderSpec& spec, Offences& offences);
};

/// @throws Error unsupported, with the list of those that are known.
const GgufArchitecture& gguf_architecture(const std::string& model_type);

/// Why llama.cpp would not compute what the checkpoint says.
Offences gguf_offences(const GgufArchitecture& architecture, const model::DecoderSpec& spec);

/// Keys and values that describe the model, from general.architecture on.
void add_architecture(const GgufArchitecture& architecture, const model::DecoderSpec& spec, GgufMetadata& metadata);

/// Where a tensor of the checkpoint goes.
struct GgufPlace {
  std::string name;              // "blk.0.attn_q.weight"
  std::int64_t paired_heads = 0;  // > 0: rows of each of so many heads are stored as gguf_paired_rows says
};
/// nullopt: the family has no such tensor.
std::optional<GgufPlace> gguf_place(const GgufArchitecture& architecture, const model::DecoderSpec& spec,
                                    const std::string& tensor);

/// The row of the checkpoint that each stored row is: of each head row 0, row half, row 1, row half + 1 ... int64 [rows]
at::Tensor gguf_paired_rows(std::int64_t rows, std::int64_t heads);

}  // namespace autoround::exporter
