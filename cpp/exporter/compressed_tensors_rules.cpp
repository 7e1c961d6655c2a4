#include "exporter/compressed_tensors_rules.hpp"

#include <set>
#include <utility>

#include "base/error.hpp"
#include "base/text.hpp"
#include "exporter/compressed_tensors_config.hpp"
#include "exporter/folder_output.hpp"

namespace autoround::exporter {
namespace {

using Offences = std::vector<std::string>;

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

Offences schemes_without_a_place(const ExportPlan& plan, const std::vector<QuantizedModule>& modules) {
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
    if (!scheme.format.empty() && scheme.format != kPackQuantized) {
      offences.push_back("group `" + name + "` asks for format `" + scheme.format + "`");
    }
  }
  return offences;
}

// compressed-tensors reshapes columns into whole groups.
void check_group_sizes(const std::vector<QuantizedModule>& modules, Offences& offences) {
  for (const auto& [module, format, group] : modules) {
    if (format.group > 0 && module->shape.at(1) % format.group != 0) {
      offences.push_back("`" + module->name + "` has " + std::to_string(module->shape.at(1)) +
                         " columns, not a multiple of group_size " + std::to_string(format.group));
    }
  }
}

// vLLM unpacks embeddings row by row with 2, 4 or 8 bits and no zero point.
void check_embeddings(const std::vector<QuantizedModule>& modules, Offences& offences) {
  for (const auto& [module, format, group] : modules) {
    const bool readable = format.symmetric && (format.bits == 2 || format.bits == 4 || format.bits == 8);
    if (is_embedding(*module) && !readable) {
      offences.push_back("embedding `" + module->name + "` is " + describe(format) +
                         "; embeddings must be symmetric with 2, 4 or 8 bits");
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

}  // namespace

void check_compressed_tensors(const ExportPlan& plan) {
  const std::string subject = "compressed-tensors";
  const std::vector<QuantizedModule> modules = quantized_modules(plan);
  const Offences without_a_place = schemes_without_a_place(plan, modules);
  if (!without_a_place.empty()) {
    fail(Code::unsupported, subject,
         "this format is written for integer weights of a full-precision checkpoint, but " +
             join(without_a_place, "; "));
  }
  if (modules.empty()) fail(Code::invalid_argument, subject, "the recipe quantizes no module of this model");
  Offences offences;
  check_group_sizes(modules, offences);
  check_embeddings(modules, offences);
  check_fused(plan, offences);
  if (!offences.empty()) {
    fail(Code::invalid_argument, subject, "the format's readers would refuse this plan: " + join(offences, "; "));
  }
}

}  // namespace autoround::exporter
