#include "exporter/folder_rules.hpp"

#include <set>
#include <utility>

#include "base/text.hpp"

namespace autoround::exporter {

std::string describe(const quant::WeightFormat& format) {
  std::string text = "int" + std::to_string(format.bits);
  if (format.group > 0) {
    text.append(" group ").append(std::to_string(format.group));
  } else {
    text.append(format.group == 0 ? " tensor" : " channel");
  }
  return text.append(format.symmetric ? " sym" : " asym");
}

bool same_scheme(const quant::WeightFormat& a, const quant::WeightFormat& b) {
  return a.bits == b.bits && a.symmetric == b.symmetric && a.group == b.group && a.scale_type == b.scale_type;
}

Offences schemes_without_a_place(const ExportPlan& plan, const std::vector<QuantizedModule>& modules,
                                 const std::string& inner_format) {
  Offences offences;
  const checkpoint::HfConfig& config = plan.checkpoint.config();
  if (config.is_quantized()) offences.emplace_back("the checkpoint is already quantized");
  if (plan.recipe.kv_cache_scheme) offences.emplace_back("kv_cache_scheme is set");
  std::set<std::size_t> used;
  for (const auto& module : modules) used.insert(module.group);
  const auto groups = plan.recipe.groups();
  for (const std::size_t index : used) {
    const auto& [name, scheme] = groups.at(index);
    if (!scheme.weights || scheme.weights->type != recipe::NumberType::integer) {
      offences.push_back("group `" + name + "` has no integer weights");
    }
    if (scheme.input_activations || scheme.output_activations) {
      offences.push_back("group `" + name + "` quantizes activations");
    }
    if (!scheme.format.empty() && scheme.format != inner_format) {
      offences.push_back("group `" + name + "` asks for format `" + scheme.format + "`");
    }
  }
  return offences;
}

void check_group_sizes(const std::vector<QuantizedModule>& modules, Offences& offences) {
  for (const auto& [module, format, group] : modules) {
    if (format.group > 0 && module->shape.at(1) % format.group != 0) {
      offences.push_back("`" + module->name + "` has " + std::to_string(module->shape.at(1)) +
                         " columns, not a multiple of group_size " + std::to_string(format.group));
    }
  }
}

// vLLM runs q, k, v and gate, up as one matrix each, which has one scheme.
void check_fused(const ExportPlan& plan, Offences& offences) {
  using Place = std::pair<std::int64_t, std::string>;
  std::vector<std::pair<Place, std::vector<const recipe::ModuleInfo*>>> sets;
  for (const auto& module : plan.modules) {
    if (module.fused_with.empty()) continue;
    const Place place{module.block, module.fused_with};
    if (sets.empty() || sets.back().first != place) sets.push_back({place, {}});
    sets.back().second.push_back(&module);
  }
  const auto text = [&](const recipe::ModuleInfo& module) {
    const auto found = plan.formats.find(module.name);
    return "`" + module.name + "` (" + (found == plan.formats.end() ? "not quantized" : describe(found->second)) + ")";
  };
  for (const auto& [place, modules] : sets) {
    const auto first = plan.formats.find(modules.front()->name);
    bool equal = true;
    Offences members;
    for (const auto* module : modules) {
      const auto format = plan.formats.find(module->name);
      const bool quantized = format != plan.formats.end(), first_quantized = first != plan.formats.end();
      equal = equal && quantized == first_quantized && (!quantized || same_scheme(format->second, first->second));
      members.push_back(text(*module));
    }
    if (!equal) offences.push_back("readers fuse " + join(members, ", ") + ", which need one scheme");
  }
}

}  // namespace autoround::exporter
