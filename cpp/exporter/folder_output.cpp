#include "exporter/folder_output.hpp"

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "exporter/written_tensors.hpp"
#include "model/stacked_experts.hpp"

namespace autoround::exporter {
namespace {

constexpr std::size_t kCopyBytes = std::size_t{4} << 20;

bool has_class(const recipe::ModuleInfo& module, const char* name) {
  return module.class_name == name || std::find(module.bases.begin(), module.bases.end(), name) != module.bases.end();
}

std::string weight_name(const recipe::ModuleInfo& module) { return module.name + ".weight"; }

std::string module_of(const std::string& tensor) { return tensor.substr(0, tensor.rfind('.')); }

const recipe::ModuleInfo* input_embeddings(const ExportPlan& plan) {
  const auto found = std::find_if(plan.modules.begin(), plan.modules.end(), is_embedding);
  return found == plan.modules.end() ? nullptr : &*found;
}

const recipe::ModuleInfo* language_model_head(const ExportPlan& plan) {
  const auto found = std::find_if(plan.modules.rbegin(), plan.modules.rend(),
                                  [](const auto& module) { return module.block < 0 && is_linear(module); });
  return found == plan.modules.rend() ? nullptr : &*found;
}

bool is_quantized(const ExportPlan& plan, const recipe::ModuleInfo* module) {
  return module != nullptr && plan.formats.count(module->name) != 0;
}

}  // namespace

bool is_linear(const recipe::ModuleInfo& module) { return has_class(module, "Linear"); }
bool is_embedding(const recipe::ModuleInfo& module) { return has_class(module, "Embedding"); }

std::vector<std::string_view> names_of(const recipe::ModuleInfo& module) {
  std::vector<std::string_view> names = {module.name};
  if (!module.alias.empty()) names.emplace_back(module.alias);
  return names;
}

bool stays_full(const ExportPlan& plan, const recipe::ModuleInfo& module) {
  if (has_class(module, recipe::fused_experts_class)) {
    const std::string below = module.name + ".";
    const auto expert = plan.formats.lower_bound(below);
    return expert == plan.formats.end() || !expert->first.starts_with(below);
  }
  const std::string& name = module.class_name;
  const bool reads_as_linear =
      (is_linear(module) && module.stack.empty()) || name.ends_with("Router") || name.ends_with("Gate");
  return reads_as_linear && plan.formats.count(module.name) == 0;
}

FullModules full_modules(const ExportPlan& plan) {
  constexpr std::string_view outer = "model.";
  FullModules full;
  std::set<std::string> known;  // tensors, and parts that are in the list
  for (const auto& module : plan.modules) {
    known.insert(weight_name(module));
    if (!stays_full(plan, module)) continue;
    for (const std::string_view name : names_of(module)) full.names.emplace_back(name);
  }
  const bool multimodal = plan.checkpoint.config().view().has("text_config");
  const auto is_language_model = [&](const std::string& part) {
    const std::string inside = concat({".", part, "."});
    for (const auto& module : plan.modules)
      for (const std::string_view name : names_of(module))
        if (name.find(inside) != name.npos) return true;
    return false;
  };
  for (const auto& tensor : plan.checkpoint.tensors()) {
    if (!tensor.name.ends_with(".weight") || tensor.shape.size() != 2 || known.count(tensor.name) != 0) continue;
    const std::string module = module_of(tensor.name);
    const std::size_t begin = module.starts_with(outer) ? outer.size() : 0;
    const std::string part = module.substr(begin, module.find('.', begin) - begin);
    if (multimodal && known.count(part) != 0) continue;
    const bool is_part = multimodal && !is_language_model(part);
    (is_part ? full.parts : full.names).push_back(is_part ? part : module);
    if (is_part) known.insert(part);
  }
  return full;
}

std::vector<QuantizedModule> quantized_modules(const ExportPlan& plan) {
  std::vector<QuantizedModule> modules;
  for (const auto& entry : plan.assignment.linears) {
    const auto format = plan.formats.find(entry.module->name);
    if (format == plan.formats.end()) continue;
    if (!entry.group) fail(Code::internal, entry.module->name, "the module has a weight format but no config group");
    modules.push_back({entry.module, format->second, *entry.group});
  }
  if (modules.size() != plan.formats.size()) {
    fail(Code::internal, "",
         concat({"the plan has ", std::to_string(plan.formats.size()), " weight formats for ",
                 std::to_string(modules.size()), " assigned modules"}));
  }
  return modules;
}

bool unties_embeddings(const ExportPlan& plan) {
  return plan.tie_word_embeddings &&
         (is_quantized(plan, language_model_head(plan)) || is_quantized(plan, input_embeddings(plan)));
}

FolderPlan plan_folder(const ExportPlan& plan, const StoredTensors& stored, bool keeps_stacks) {
  FolderPlan folder;
  const auto add_copy = [&](checkpoint::TensorInfo info, const std::string& from) {
    folder.copies.push_back({from, info.name});
    const std::string module = module_of(info.name);
    folder.tensors.push_back({std::move(info), module});
  };
  const auto add_stored = [&](const QuantizedModule& quantized) {
    for (auto& info : stored(*quantized.module, quantized.format)) {
      folder.tensors.push_back({std::move(info), quantized.module->name});
    }
  };

  const std::vector<QuantizedModule> quantized = quantized_modules(plan);
  std::map<std::string, const QuantizedModule*> by_weight;
  for (const auto& module : quantized) by_weight.emplace(weight_name(*module.module), &module);
  for (const auto& tensor : plan.checkpoint.tensors()) {
    const auto found = by_weight.find(tensor.name);
    const std::vector<model::ExpertPart> parts =
        keeps_stacks ? std::vector<model::ExpertPart>() : model::expert_parts(tensor);
    if (found != by_weight.end()) {
      add_stored(*found->second);
    } else if (parts.empty() || plan.formats.count(module_of(parts.front().name)) == 0) {
      add_copy(tensor, tensor.name);
    } else {
      for (const model::ExpertPart& part : parts)
        if (by_weight.count(part.name) == 0) add_copy({part.name, tensor.dtype, part.shape}, part.name);
    }
  }

  // A head that was tied, and experts that are one tensor, have none of their own to take the place of.
  for (const auto& module : quantized) {
    const bool in_stack = keeps_stacks && !module.module->stack.empty();
    if (!in_stack && plan.checkpoint.find(weight_name(*module.module)) == nullptr) add_stored(module);
  }
  const recipe::ModuleInfo* head = language_model_head(plan);
  if (unties_embeddings(plan) && head != nullptr && !is_quantized(plan, head) &&
      plan.checkpoint.find(weight_name(*head)) == nullptr) {
    const std::string embeddings = weight_name(*input_embeddings(plan));
    checkpoint::TensorInfo copy = *plan.checkpoint.find(embeddings);
    copy.name = weight_name(*head);
    add_copy(std::move(copy), embeddings);
  }
  return folder;
}

void copy_tensors(const ExportPlan& plan, const std::vector<TensorCopy>& copies, checkpoint::ShardWriter& to) {
  const checkpoint::Checkpoint& from = plan.checkpoint;
  std::vector<std::byte> buffer;
  for (const auto& copy : copies) {
    const checkpoint::TensorInfo* source = from.find(copy.from);
    if (source == nullptr) {
      write_tensor(to, copy.to, model::read_stored(from, copy.from));
      continue;
    }
    const std::uint64_t size = source->byte_size();
    for (std::uint64_t offset = 0; offset < size; offset += kCopyBytes) {
      if (plan.cancel != nullptr) plan.cancel->throw_if_requested();
      buffer.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kCopyBytes, size - offset)));
      from.read(copy.from, offset, buffer);
      to.write(copy.to, offset, buffer);
    }
  }
}

std::string config_text(const ExportPlan& plan, const Json& quantization_config, const std::string& dtype) {
  Json config = plan.checkpoint.config().json();
  if (unties_embeddings(plan)) {
    config["tie_word_embeddings"] = false;
    if (config.contains("text_config") && config["text_config"].is_object()) {
      config["text_config"]["tie_word_embeddings"] = false;
    }
  }
  if (!dtype.empty()) config[config.contains("torch_dtype") ? "torch_dtype" : "dtype"] = dtype;
  if (!quantization_config.is_null()) config["quantization_config"] = quantization_config;
  return config.dump(2) + "\n";
}

void copy_companions(const checkpoint::Checkpoint& from, const std::string& directory) {
  for (const auto& name : from.companion_files()) {
    copy_file(join_path(from.directory(), name), join_path(directory, name));
  }
}

std::uint64_t folder_bytes(const ExportPlan& plan, const FolderPlan& folder, const std::string& config) {
  constexpr std::uint64_t index_line = 64;  // quotes, indent and the shard's name beside each tensor's name
  std::uint64_t bytes = checkpoint::planned_bytes(folder.tensors);
  for (const auto& tensor : folder.tensors) bytes += tensor.info.name.size() + index_line;

  const auto& companions = plan.checkpoint.companion_files();
  const std::set<std::string> names(companions.begin(), companions.end());
  for (const auto& file : list_directory(plan.checkpoint.directory())) {
    if (names.count(file.name) != 0) bytes += file.size;
  }
  return bytes + config.size() + plan.recipe.dump(recipe::Syntax::yaml).size();
}

}  // namespace autoround::exporter
