#include "exporter/compressed_tensors_config.hpp"

#include <algorithm>
#include <set>

#include "exporter/folder_output.hpp"
#include "exporter/stored_module.hpp"

namespace autoround::exporter {
namespace {

constexpr const char* kLayoutVersion = "0.20.0";  // of compressed-tensors; informational

struct Group {
  std::size_t index = 0;  // into Recipe::groups()
  recipe::QuantizationScheme scheme;
  std::string format;  // of all its modules: it follows from the scheme
  std::vector<const recipe::ModuleInfo*> modules;
};

std::vector<Group> groups_by_first_appearance(const ExportPlan& plan) {
  const auto recipe_groups = plan.recipe.groups();
  std::vector<Group> groups;
  for (const auto& quantized : quantized_modules(plan)) {
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.index == quantized.group; });
    if (group == groups.end()) {
      group = groups.insert(groups.end(), Group{quantized.group,
                                                recipe_groups.at(quantized.group).second,
                                                std::string(compression_name(compression_of(quantized.format))),
                                                {}});
    }
    group->modules.push_back(quantized.module);
  }
  return groups;
}

bool names_module(const std::vector<std::string>& targets, const recipe::ModuleInfo& module) {
  return std::any_of(targets.begin(), targets.end(), [&](const std::string& target) {
    return target == module.name || (target.rfind("re:", 0) == 0 && recipe::matches(target, module));
  });
}

// Readers agree that a name or pattern goes before a class, and disagree on which of two names or patterns goes first.
bool groups_overlap(const std::vector<Group>& groups) {
  for (const auto& owner : groups) {
    for (const auto* module : owner.modules) {
      for (const auto& other : groups) {
        if (&other != &owner && names_module(other.scheme.targets, *module)) return true;
      }
    }
  }
  return false;
}

// vLLM looks a layer that it fuses, qkv_proj, up by its class before it looks up q_proj, k_proj and v_proj by name: a
// class in one group would take what names or patterns of another hold.
bool class_hides_fused(const std::vector<Group>& groups) {
  const auto by_class = [](const Group& group) {
    return std::any_of(group.modules.begin(), group.modules.end(), [&](const recipe::ModuleInfo* module) {
      return module->block >= 0 && !names_module(group.scheme.targets, *module);
    });
  };
  const auto holds_fused = [](const Group& group) {
    return std::any_of(group.modules.begin(), group.modules.end(),
                       [](const recipe::ModuleInfo* module) { return !module->fused_with.empty(); });
  };
  for (const Group& group : groups) {
    if (!by_class(group)) continue;
    for (const Group& other : groups)
      if (&other != &group && holds_fused(other)) return true;
  }
  return false;
}

std::vector<std::string> written_targets(const Group& group, bool by_name) {
  std::vector<std::string> targets;
  if (!by_name) targets = group.scheme.targets;
  for (const auto* module : group.modules) {
    // vLLM's head is no Linear: only its name reaches it.
    const bool unnamed_head = module->block < 0 && is_linear(*module) && !names_module(targets, *module);
    if (by_name || unnamed_head) targets.push_back(module->name);
  }
  return targets;
}

Json args_json(const std::optional<recipe::QuantizationArgs>& args) {
  if (!args) return nullptr;
  Json json;
  if (args->block_structure) json["block_structure"] = *args->block_structure;
  json["dynamic"] =
      args->dynamic == recipe::Dynamic::local ? Json("local") : Json(args->dynamic == recipe::Dynamic::yes);
  json["group_size"] = args->group_size ? Json(*args->group_size) : Json(nullptr);
  json["num_bits"] = args->num_bits;
  if (!args->observer.empty()) json["observer"] = args->observer;
  if (!args->scale_dtype.empty()) json["scale_dtype"] = args->scale_dtype;
  json["strategy"] = recipe::strategy_name(args->strategy);
  json["symmetric"] = args->symmetric;
  json["type"] = args->type == recipe::NumberType::integer ? "int" : "float";
  return json;
}

Json groups_json(const std::vector<Group>& groups) {
  const bool by_name = groups_overlap(groups) || class_hides_fused(groups);
  std::map<std::string, Json> sorted;  // "group_10" goes before "group_2" where keys are sorted
  for (std::size_t i = 0; i < groups.size(); ++i) {
    Json json;
    json["format"] = groups[i].format;
    json["input_activations"] = args_json(groups[i].scheme.input_activations);
    json["output_activations"] = nullptr;
    json["targets"] = written_targets(groups[i], by_name);
    json["weights"] = args_json(groups[i].scheme.weights);
    sorted.emplace("group_" + std::to_string(i), std::move(json));
  }
  Json all = Json::object();
  for (auto& [name, json] : sorted) all[name] = std::move(json);
  return all;
}

/// The one format of all groups, or the word for several.
std::string common_format(const std::vector<Group>& groups) {
  for (const Group& group : groups)
    if (group.format != groups.front().format) return "mixed-precision";
  return groups.front().format;
}

/// A pattern for all modules of the part of a multimodal model that a module of that name belongs to, a vision tower
/// say. Readers have names of their own for what lies above and below it.
std::string part_pattern(const std::string& module) {
  constexpr std::string_view outer = "model.";
  const std::size_t begin = module.rfind(outer, 0) == 0 ? outer.size() : 0;
  return "re:(.*[.])?" + module.substr(begin, module.find('.', begin) - begin) + "[.].*";
}

// Every Linear that stays as it was, under its full name: vLLM takes no class names here. A 2-D weight of a module that
// this library does not know (multi-token prediction, a vision tower) would look like a Linear to a reader that does.
std::vector<std::string> ignored_modules(const ExportPlan& plan) {
  const auto quantized = [&](const recipe::ModuleInfo& module) { return plan.formats.count(module.name) != 0; };
  const auto quantized_embedding = [&](const auto& module) { return is_embedding(module) && quantized(module); };
  const bool embeddings_too = std::any_of(plan.modules.begin(), plan.modules.end(), quantized_embedding);
  std::vector<std::string> ignored;
  std::set<std::string> known;
  for (const auto& module : plan.modules) {
    known.insert(module.name + ".weight");
    const bool full_embedding = embeddings_too && is_embedding(module) && !quantized(module);
    if (!stays_full(plan, module) && !full_embedding) continue;
    ignored.push_back(module.name);
    if (!module.alias.empty()) ignored.push_back(module.alias);
  }
  constexpr std::string_view suffix = ".weight";
  const bool multimodal = plan.checkpoint.config().view().has("text_config");
  for (const auto& tensor : plan.checkpoint.tensors()) {
    const bool is_weight = tensor.name.size() > suffix.size() &&
                           tensor.name.compare(tensor.name.size() - suffix.size(), suffix.size(), suffix) == 0;
    if (!is_weight || tensor.shape.size() != 2 || known.count(tensor.name) != 0) continue;
    const std::string module = tensor.name.substr(0, tensor.name.size() - suffix.size());
    const std::string entry = multimodal ? part_pattern(module) : module;
    if (known.insert(entry).second) ignored.push_back(entry);
  }
  return ignored;
}

}  // namespace

Json compressed_tensors_config(const ExportPlan& plan) {
  Json config;
  const std::vector<Group> groups = groups_by_first_appearance(plan);
  config["config_groups"] = groups_json(groups);
  config["format"] = common_format(groups);
  config["global_compression_ratio"] = nullptr;
  config["ignore"] = ignored_modules(plan);
  config["kv_cache_scheme"] = args_json(plan.recipe.kv_cache_scheme);
  config["moe_sparsity_config"] = nullptr;
  config["quant_method"] = "compressed-tensors";
  config["quantization_status"] = "compressed";
  config["sparsity_config"] = Json::object();
  config["transform_config"] = Json::object();
  config["version"] = kLayoutVersion;
  return config;
}

}  // namespace autoround::exporter
