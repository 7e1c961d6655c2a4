#include "exporter/folder_rules.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "base/text.hpp"

namespace autoround::exporter {

namespace {

constexpr std::size_t kMostNamed = 8;  // of hundreds of experts these say enough

std::string number_text(quant::Number number, int bits) {
  switch (number) {
    case quant::Number::integer:
      return "int" + std::to_string(bits);
    case quant::Number::fp8:
      return "fp8";
    case quant::Number::nvfp4:
      return "nvfp4";
    default:
      return "mxfp" + std::to_string(bits);
  }
}

std::string grouping_text(const quant::WeightFormat& format) {
  if (format.block_rows > 0)
    return concat({" block ", std::to_string(format.block_rows), "x", std::to_string(format.group)});
  if (format.group > 0) return " group " + std::to_string(format.group);
  return format.group == 0 ? " tensor" : " channel";
}

/// null: not quantized.
const quant::WeightFormat* format_of(const ExportPlan& plan, const recipe::ModuleInfo& module) {
  const auto found = plan.formats.find(module.name);
  return found == plan.formats.end() ? nullptr : &found->second;
}

bool are_equal(const quant::WeightFormat* a, const quant::WeightFormat* b) {
  return a != nullptr && b != nullptr ? same_scheme(*a, *b) : a == b;
}

}  // namespace

std::string describe(const quant::WeightFormat& format) {
  std::string text = number_text(format.number, format.bits) + grouping_text(format);
  if (format.number == quant::Number::integer) text.append(format.symmetric ? " sym" : " asym");
  if (format.has_super_groups()) text.append(" in super groups");
  if (format.input) text.append(", inputs ").append(number_text(format.input->number, format.input->bits));
  return text;
}

bool same_scheme(const quant::WeightFormat& a, const quant::WeightFormat& b) {
  return a.bits == b.bits && a.symmetric == b.symmetric && a.group == b.group && a.scale_type == b.scale_type &&
         a.number == b.number && a.block_rows == b.block_rows && a.super_group == b.super_group &&
         a.super_bits == b.super_bits && a.input == b.input;
}

Offences schemes_without_a_place(const ExportPlan& plan, const std::vector<QuantizedModule>& modules,
                                 const Place& place) {
  Offences offences;
  const checkpoint::HfConfig& config = plan.checkpoint.config();
  if (config.is_quantized()) offences.emplace_back("the checkpoint is already quantized");
  if (plan.recipe.kv_cache_scheme && !place.cache) offences.emplace_back("kv_cache_scheme is set");
  std::map<std::size_t, const quant::WeightFormat*> used;
  for (const auto& module : modules) used.emplace(module.group, &module.format);
  const auto groups = plan.recipe.groups();
  for (const auto& [index, format] : used) {
    const auto& [name, scheme] = groups.at(index);
    if (is_float(format->number) && !place.floats)
      offences.push_back(concat({"group `", name, "` has no integer weights"}));
    if (scheme.weights->super_bits && !place.supers)
      offences.push_back(concat({"group `", name, "` has super groups, which only gguf stores"}));
    if (format->input && !place.inputs) offences.push_back(concat({"group `", name, "` quantizes activations"}));
    if (!scheme.format.empty() &&
        (place.inner_format == nullptr || scheme.format != place.inner_format(*format, scheme.format))) {
      offences.push_back(concat({"group `", name, "` asks for format `", scheme.format, "`"}));
    }
  }
  const auto stacked = [](const QuantizedModule& quantized) { return !quantized.module->stack.empty(); };
  const auto found = std::find_if(modules.begin(), modules.end(), stacked);
  if (found != modules.end() && !place.stacks)
    offences.push_back(
        concat({"`", found->module->stack,
                "` holds all experts as one tensor, which no reader of this format takes quantized: ignore "
                "`re:.*[.]experts[.].*`"}));
  return offences;
}

void check_group_sizes(const std::vector<QuantizedModule>& modules, Offences& offences) {
  for (const auto& [module, format, group] : modules) {
    const std::int64_t columns = module->shape.at(1);
    const auto fits = [&](std::int64_t size) { return size <= 0 || columns % size == 0; };
    const std::int64_t of_weight = format.block_rows == 0 ? format.group : 0;
    const std::int64_t of_input = format.input ? format.input->group : 0;
    if (fits(of_weight) && fits(of_input)) continue;
    offences.push_back(concat({"`", module->name, "` has ", std::to_string(columns), " columns, not a multiple of ",
                               fits(of_weight) ? "its inputs' " : "", "group_size ",
                               std::to_string(fits(of_weight) ? of_input : of_weight)}));
  }
}

bool experts_differ(const ExportPlan& plan) {
  const recipe::ModuleInfo* first = nullptr;
  for (const auto& module : plan.modules) {
    if (module.fused_with != recipe::fused_experts) continue;
    if (first == nullptr) first = &module;
    if (!are_equal(format_of(plan, module), format_of(plan, *first))) return true;
  }
  return false;
}

// vLLM runs q, k, v and gate, up as one matrix each, and all experts of a layer in one kernel, which has one scheme.
void check_fused(const ExportPlan& plan, Offences& offences) {
  using Position = std::pair<std::int64_t, std::string>;
  std::vector<std::pair<Position, std::vector<const recipe::ModuleInfo*>>> sets;
  for (const auto& module : plan.modules) {
    if (module.fused_with.empty()) continue;
    const Position position{module.block, module.fused_with};
    if (sets.empty() || sets.back().first != position) sets.push_back({position, {}});
    sets.back().second.push_back(&module);
  }
  const auto text = [&](const recipe::ModuleInfo& module) {
    const quant::WeightFormat* format = format_of(plan, module);
    return concat({"`", module.name, "` (", format == nullptr ? "not quantized" : describe(*format), ")"});
  };
  for (const auto& [position, modules] : sets) {
    Offences others;
    for (const auto* module : modules)
      if (!are_equal(format_of(plan, *module), format_of(plan, *modules.front()))) others.push_back(text(*module));
    if (others.empty()) continue;
    const std::size_t more = others.size() - std::min(others.size(), kMostNamed);
    others.resize(others.size() - more);
    offences.push_back(concat({"readers fuse ", text(*modules.front()), " with ", join(others, ", "),
                               more == 0 ? "" : " and " + std::to_string(more) + " more", ", which need one scheme"}));
  }
}

}  // namespace autoround::exporter
