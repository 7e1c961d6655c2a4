#include "exporter/compressed_tensors_rules.hpp"

#include "base/error.hpp"
#include "base/text.hpp"
#include "exporter/folder_rules.hpp"
#include "exporter/stored_module.hpp"

namespace autoround::exporter {
namespace {

std::string_view format_name(const quant::WeightFormat& format, std::string_view asked) {
  return compression_name(compression_of(format, asked));
}

// vLLM unpacks embeddings row by row with 2, 4 or 8 bits and no zero point.
void check_embeddings(const std::vector<QuantizedModule>& modules, Offences& offences) {
  for (const auto& [module, format, group] : modules) {
    if (!is_embedding(*module)) continue;
    const bool packed = compression_of(format) == CompressionFormat::pack_quantized && format.symmetric;
    if (packed && (format.bits == 2 || format.bits == 4 || format.bits == 8)) continue;
    offences.push_back(concat({"embedding `", module->name, "` is ", describe(format),
                               "; embeddings must be symmetric integers with 2, 4 or 8 bits"}));
  }
}

// vLLM asserts symmetric experts, and transformers unpacks them without looking for zero points.
void check_experts(const std::vector<QuantizedModule>& modules, Offences& offences) {
  const QuantizedModule* first = nullptr;
  std::size_t count = 0;
  for (const auto& quantized : modules) {
    if (quantized.module->fused_with != recipe::fused_experts || quantized.format.symmetric) continue;
    if (count++ == 0) first = &quantized;
  }
  if (count == 0) return;
  offences.push_back(concat({"experts must be symmetric; `", first->module->name, "` is ", describe(first->format),
                             count == 1 ? "" : ", as are " + std::to_string(count - 1) + " more"}));
}

// What readers fuse is stored in one way: groups of one scheme may still ask for different formats.
void check_fused_formats(const ExportPlan& plan, const std::vector<QuantizedModule>& modules, Offences& offences) {
  const auto groups = plan.recipe.groups();
  const auto compression = [&](const QuantizedModule& quantized) {
    return compression_of(quantized.format, groups[quantized.group].second.format);
  };
  const QuantizedModule* last = nullptr;
  for (const auto& quantized : modules) {
    const recipe::ModuleInfo& module = *quantized.module;
    if (module.fused_with.empty()) continue;
    if (last != nullptr && last->module->block == module.block && last->module->fused_with == module.fused_with &&
        same_scheme(last->format, quantized.format) && compression(*last) != compression(quantized))
      offences.push_back(concat({"readers fuse `", last->module->name, "` with `", module.name,
                                 "`, and their groups ask for different formats"}));
    last = &quantized;
  }
}

}  // namespace

void check_compressed_tensors(const ExportPlan& plan) {
  const std::string subject = "compressed-tensors";
  const std::vector<QuantizedModule> modules = quantized_modules(plan);
  const Offences without_a_place = schemes_without_a_place(
      plan, modules, {.floats = true, .inputs = true, .cache = true, .inner_format = format_name});
  if (!without_a_place.empty()) {
    fail(Code::unsupported, subject, "this format has no place for it: " + join(without_a_place, "; "));
  }
  if (modules.empty()) fail(Code::invalid_argument, subject, "the recipe quantizes no module of this model");
  Offences offences;
  check_group_sizes(modules, offences);
  check_embeddings(modules, offences);
  check_experts(modules, offences);
  check_fused(plan, offences);
  check_fused_formats(plan, modules, offences);
  if (!offences.empty()) {
    fail(Code::invalid_argument, subject, "the format's readers would refuse this plan: " + join(offences, "; "));
  }
  if (experts_differ(plan))
    plan.log.warn(
        "compressed-tensors: experts do not have one scheme in all layers, as transformers takes for granted;"
        " vLLM looks at each layer");
}

}  // namespace autoround::exporter
