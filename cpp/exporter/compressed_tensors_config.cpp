#include "exporter/compressed_tensors_config.hpp"

#include <algorithm>
#include <list>

#include "base/text.hpp"
#include "exporter/folder_output.hpp"
#include "exporter/stored_module.hpp"
#include "recipe/matching.hpp"

namespace autoround::exporter {
namespace {

constexpr const char* kLayoutVersion = "0.20.0";  // of compressed-tensors; informational

struct Group {
  std::size_t index = 0;  // into Recipe::groups()
  recipe::QuantizationScheme scheme;
  std::string format;  // of all its modules: it follows from the scheme
  std::vector<const recipe::ModuleInfo*> modules;
  std::vector<std::string> targets;  // that are written
};

std::list<Group> groups_by_first_appearance(const ExportPlan& plan) {
  const auto recipe_groups = plan.recipe.groups();
  std::list<Group> groups;
  for (const auto& quantized : quantized_modules(plan)) {
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.index == quantized.group; });
    if (group == groups.end()) {
      const recipe::QuantizationScheme& scheme = recipe_groups.at(quantized.group).second;
      const std::string_view format = compression_name(compression_of(quantized.format, scheme.format));
      group = groups.insert(groups.end(), Group{quantized.group, scheme, std::string(format), {}, {}});
    }
    group->modules.push_back(quantized.module);
  }
  return groups;
}

/// Whether a target is or matches that name, not the class of what has it.
bool reach(const std::vector<std::string>& targets, std::string_view name) {
  recipe::ModuleInfo named;
  named.name = name;
  return std::any_of(targets.begin(), targets.end(),
                     [&](const std::string& target) { return recipe::matches(target, named); });
}

bool names_module(const std::vector<std::string>& targets, const recipe::ModuleInfo& module) {
  for (const std::string_view name : names_of(module))
    if (reach(targets, name)) return true;
  return false;
}

// Readers agree that a name or pattern goes before a class, and disagree on which of two names or patterns goes first.
bool groups_overlap(const std::list<Group>& groups) {
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
bool class_hides_fused(const std::list<Group>& groups) {
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

bool is_expert(const recipe::ModuleInfo* module) { return module->fused_with == recipe::fused_experts; }
bool holds_experts(const Group& group) { return std::any_of(group.modules.begin(), group.modules.end(), is_expert); }
bool says_experts(const std::string& target) {
  return target.rfind("re:", 0) == 0 && target.find("experts") != std::string::npos;
}

/// @param expert_pattern no other group has experts, and this one's are to be found by a pattern
std::vector<std::string> written_targets(const Group& group, bool by_name, bool expert_pattern) {
  std::vector<std::string> targets;
  if (!by_name) targets = group.scheme.targets;
  for (const auto* module : group.modules) {
    if (by_name && expert_pattern && is_expert(module)) continue;
    // vLLM's head is no Linear: only its name reaches it.
    const bool is_head = module->block < 0 && is_linear(*module);
    if (!by_name && !is_head && !names_module(targets, *module)) continue;  // its class is a target
    for (const std::string_view name : names_of(*module))
      if (by_name || !reach(targets, name)) targets.emplace_back(name);
  }
  if (expert_pattern && std::none_of(targets.begin(), targets.end(), says_experts))
    targets.emplace_back("re:.*[.]experts[.].*");
  return targets;
}

/// As they are written, in that order.
std::list<Group> config_groups(const ExportPlan& plan) {
  std::list<Group> groups = groups_by_first_appearance(plan);
  const bool by_name = groups_overlap(groups) || class_hides_fused(groups);
  // transformers has one scheme for all experts: that of the first group with a pattern that says "experts". vLLM looks
  // experts up by a name that not every checkpoint has (gate_proj).
  const auto first = std::find_if(groups.begin(), groups.end(), holds_experts);
  if (first != groups.end()) groups.splice(groups.begin(), groups, first);
  const bool is_one_of_several = groups.size() > 1 && std::count_if(groups.begin(), groups.end(), holds_experts) == 1;
  for (Group& group : groups)
    group.targets = written_targets(group, by_name, is_one_of_several && holds_experts(group));
  return groups;
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

Json groups_json(const std::list<Group>& groups) {
  std::map<std::string, Json> sorted;  // "group_10" goes before "group_2" where keys are sorted
  for (const Group& group : groups) {
    Json json;
    json["format"] = group.format;
    json["input_activations"] = args_json(group.scheme.input_activations);
    json["output_activations"] = nullptr;
    json["targets"] = group.targets;
    json["weights"] = args_json(group.scheme.weights);
    sorted.emplace("group_" + std::to_string(sorted.size()), std::move(json));
  }
  Json all = Json::object();
  for (auto& [name, json] : sorted) all[name] = std::move(json);
  return all;
}

/// The one format of all groups, or the word for several.
std::string common_format(const std::list<Group>& groups) {
  for (const Group& group : groups)
    if (group.format != groups.front().format) return "mixed-precision";
  return groups.front().format;
}

/// Readers match patterns with embeddings too, recipes do not.
bool is_left_out_embedding(const ExportPlan& plan, const std::list<Group>& groups, const recipe::ModuleInfo& module) {
  if (!is_embedding(module) || plan.formats.count(module.name) != 0) return false;
  for (const Group& group : groups)
    for (const std::string& target : group.targets)
      if (recipe::matches(target, module)) return true;
  return false;
}

// Under full names: vLLM takes no class names here.
std::vector<std::string> ignored_modules(const ExportPlan& plan, const std::list<Group>& groups) {
  auto [ignored, parts] = full_modules(plan);
  for (const auto& module : plan.modules) {
    if (!is_left_out_embedding(plan, groups, module)) continue;
    for (const std::string_view name : names_of(module)) ignored.emplace_back(name);
  }
  for (const std::string& part : parts) ignored.push_back(concat({"re:(.*[.])?", part, "[.].*"}));
  return ignored;
}

}  // namespace

Json compressed_tensors_config(const ExportPlan& plan) {
  Json config;
  const std::list<Group> groups = config_groups(plan);
  config["config_groups"] = groups_json(groups);
  config["format"] = common_format(groups);
  config["global_compression_ratio"] = nullptr;
  config["ignore"] = ignored_modules(plan, groups);
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
