// What all formats that are a Hugging Face folder share: which tensors the output holds and in which order, the copy of
// those that are not quantized, and the files beside them. A format adds how one quantized weight is stored and what
// config.json says about it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "checkpoint/shard_writer.hpp"
#include "exporter/exporter.hpp"

namespace autoround::exporter {

bool is_linear(const recipe::ModuleInfo& module);
bool is_embedding(const recipe::ModuleInfo& module);
/// What readers may call the module: its name in the checkpoint and, where it has one, its alias.
std::vector<std::string_view> names_of(const recipe::ModuleInfo& module);
/// Whether readers would take the module for a quantized linear and it is not: linears, routers, the gate of a shared
/// expert, and by the name of all the experts that are one tensor.
bool stays_full(const ExportPlan& plan, const recipe::ModuleInfo& module);

/// What readers must be told to leave alone.
struct FullModules {
  std::vector<std::string> names;  // that stay full, and modules with a 2-D weight that this library does not know:
                                   // layers that predict further tokens, or past the last that config.json has
  std::vector<std::string> parts;  // "vision_tower": of a multimodal model, as a whole, as readers have names of their
                                   // own for what lies above and below
};
FullModules full_modules(const ExportPlan& plan);

/// The scheme of every quantized module and where it came from, in module order.
struct QuantizedModule {
  const recipe::ModuleInfo* module = nullptr;
  quant::WeightFormat format;
  std::size_t group = 0;  // index into Recipe::groups()
};
/// @throws Error internal: a format without a module or a group in the assignment.
std::vector<QuantizedModule> quantized_modules(const ExportPlan& plan);

/// True when the head or the embeddings of a tied model are quantized: the output then stores both and says so.
bool unties_embeddings(const ExportPlan& plan);

/// A tensor that is taken from the checkpoint unchanged, or a part of one that holds all experts
/// (model/stacked_experts.hpp); `to` differs from `from` only for an untied head.
struct TensorCopy {
  std::string from, to;
};

struct FolderPlan {
  std::vector<checkpoint::PlannedTensor> tensors;  // in the checkpoint's order, packed tensors in place of their weight
  std::vector<TensorCopy> copies;
};

/// The tensors that store one quantized weight, by full name.
using StoredTensors =
    std::function<std::vector<checkpoint::TensorInfo>(const recipe::ModuleInfo&, const quant::WeightFormat&)>;

/// @param keeps_stacks experts that are one tensor stay one: copied whole, quantized parts of it are written over
FolderPlan plan_folder(const ExportPlan& plan, const StoredTensors& stored, bool keeps_stacks = false);

/// Copies byte for byte, in pieces of bounded size.
void copy_tensors(const ExportPlan& plan, const std::vector<TensorCopy>& copies, checkpoint::ShardWriter& to);

/// The checkpoint's config.json with its own keys in their own order, plus `quantization_config` unless that is null;
/// tie_word_embeddings and the dtype are the only keys that may change.
/// @param dtype of the model's weights as readers are to take them; "": what is there
std::string config_text(const ExportPlan& plan, const Json& quantization_config, const std::string& dtype = "");

/// Tokenizer, generation config, code and the like, unchanged.
void copy_companions(const checkpoint::Checkpoint& from, const std::string& directory);

/// Bytes of the whole folder: shards and companions exactly, with room for the shard index.
std::uint64_t folder_bytes(const ExportPlan& plan, const FolderPlan& folder, const std::string& config);

}  // namespace autoround::exporter
