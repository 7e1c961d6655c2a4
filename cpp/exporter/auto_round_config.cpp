#include "exporter/auto_round_config.hpp"

#include <algorithm>
#include <gsl/assert>
#include <string_view>
#include <vector>

#include "exporter/folder_output.hpp"
#include "exporter/folder_rules.hpp"
#include "recipe/pattern.hpp"

namespace autoround::exporter {
namespace {

constexpr const char* kLayoutVersion = "0.15.1";  // of auto-round; informational

/// The scheme of most layers; of equally many, the first.
quant::WeightFormat common_format(const std::vector<QuantizedModule>& modules) {
  Expects(!modules.empty());
  const auto count = [&](const QuantizedModule& one) {
    return std::count_if(modules.begin(), modules.end(),
                         [&](const QuantizedModule& other) { return same_scheme(one.format, other.format); });
  };
  return std::max_element(modules.begin(), modules.end(),
                          [&](const auto& a, const auto& b) { return count(a) < count(b); })
      ->format;
}

Json scheme_json(const quant::WeightFormat& format) {
  return {{"bits", format.bits}, {"group_size", format.group}, {"sym", format.symmetric}};
}

/// As auto-round looks the module up: by the name that transformers gives it.
const std::string& loaded_name(const recipe::ModuleInfo& module) {
  return module.alias.empty() ? module.name : module.alias;
}

/// "model.layers", the folder of the decoder layers.
std::string blocks_name(const ExportPlan& plan) {
  const auto first = std::find_if(plan.modules.begin(), plan.modules.end(),
                                  [](const recipe::ModuleInfo& module) { return module.block >= 0; });
  Expects(first != plan.modules.end());
  std::string index = std::to_string(first->block);
  const std::string& name = loaded_name(*first);
  return name.substr(0, name.find(index.insert(0, 1, '.')));
}

/// A pattern for one of a module's names and, where vLLM runs it as a part of a larger one, for the name of that.
std::string exact_pattern(const char* sign, const recipe::ModuleInfo& module, std::string_view name) {
  std::string pattern = sign;
  pattern.append("^");
  if (module.fused_with.empty()) return pattern.append(recipe::name_pattern(name)).append("$");
  if (module.fused_with == recipe::fused_experts) {
    const std::size_t expert = name.rfind('.', name.rfind('.') - 1);  // "...experts" before ".3.up_proj"
    pattern.append(recipe::name_pattern(name.substr(0, expert)))
        .append("(")
        .append(recipe::name_pattern(name.substr(expert)));
    return pattern.append(")?$");
  }
  const std::size_t last = name.rfind('.') + 1;
  pattern.append(recipe::name_pattern(name.substr(0, last)))
      .append("(")
      .append(recipe::name_pattern(name.substr(last)));
  return pattern.append("|").append(module.fused_with).append("_proj)$");
}

}  // namespace

Json auto_round_config(const ExportPlan& plan, const std::string& packing_format) {
  const std::vector<QuantizedModule> modules = quantized_modules(plan);
  const quant::WeightFormat common = common_format(modules);
  Json extra = Json::object();
  for (const auto& module : plan.modules) {
    if (module.block >= 0 && stays_full(plan, module)) extra[loaded_name(module)] = {{"bits", 16}};
  }
  for (const auto& [module, format, group] : modules) {
    if (module->block >= 0 && same_scheme(format, common)) continue;
    Json& scheme = extra[loaded_name(*module)] = scheme_json(format);
    scheme["data_type"] = "int";
  }
  Json config = scheme_json(common);
  config["data_type"] = "int";
  config["quant_method"] = "auto-round";
  config["packing_format"] = packing_format;
  config["block_name_to_quantize"] = blocks_name(plan);
  config["autoround_version"] = kLayoutVersion;
  config["iters"] = plan.recipe.iters;
  if (!extra.empty()) config["extra_config"] = std::move(extra);
  return config;
}

Json gptq_config(const ExportPlan& plan) {
  const std::vector<QuantizedModule> modules = quantized_modules(plan);
  const quant::WeightFormat common = common_format(modules);
  Json dynamic = Json::object();
  const auto add = [&](const char* sign, const recipe::ModuleInfo& module, const Json& scheme) {
    for (const std::string_view name : names_of(module)) dynamic[exact_pattern(sign, module, name)] = scheme;
  };
  for (const auto& module : plan.modules) {
    if (module.block >= 0 && stays_full(plan, module)) add("-:", module, Json::object());
  }
  for (const auto& [module, format, group] : modules) {
    if (!same_scheme(format, common)) add("+:", *module, scheme_json(format));
  }
  Json config = scheme_json(common);
  config["quant_method"] = "gptq";
  config["checkpoint_format"] = "gptq";
  config["desc_act"] = false;
  config["true_sequential"] = false;
  config["static_groups"] = false;
  config["damp_percent"] = 0.01;
  config["lm_head"] = false;
  config["provider"] = "libautoround";
  if (!dynamic.empty()) config["dynamic"] = std::move(dynamic);
  return config;
}

Json awq_config(const ExportPlan& plan) {
  const quant::WeightFormat common = common_format(quantized_modules(plan));
  auto [full, parts] = full_modules(plan);
  // Of whole parts readers look for this text in their names (vLLM, auto-round), or at their start (transformers).
  for (const std::string& part : parts) {
    full.push_back(part);
    full.push_back("model." + part);
  }
  return {{"quant_method", "awq"},     {"bits", common.bits}, {"group_size", common.group},
          {"zero_point", true},        {"version", "gemm"},   {"modules_to_not_convert", std::move(full)},
          {"provider", "libautoround"}};
}

}  // namespace autoround::exporter
