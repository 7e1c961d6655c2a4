#include "exporter/compressed_tensors_layout.hpp"

#include <algorithm>

#include "exporter/compressed_tensors_config.hpp"
#include "exporter/compressed_tensors_rules.hpp"
#include "exporter/stored_module.hpp"

namespace autoround::exporter {
namespace {

/// How a module is stored: its group may ask for it. Few do, and with experts there are many modules to look through.
CompressionFormat compression_of(const ExportPlan& plan, const std::string& module, const quant::WeightFormat& format) {
  if (!format.input) return exporter::compression_of(format);
  const auto groups = plan.recipe.groups();
  const bool any_asks =
      std::any_of(groups.begin(), groups.end(), [](const auto& group) { return !group.second.format.empty(); });
  if (!any_asks) return exporter::compression_of(format);
  for (const auto& entry : plan.assignment.linears)
    if (entry.module->name == module) return exporter::compression_of(format, entry.scheme.format);
  return exporter::compression_of(format);
}

class CompressedTensorsLayout final : public Layout {
 public:
  void check(const ExportPlan& plan) const override { check_compressed_tensors(plan); }

  std::vector<checkpoint::TensorInfo> tensors(const ExportPlan& plan, const recipe::ModuleInfo& module,
                                              const quant::WeightFormat& format) const override {
    return stored_tensors(module.name, module.shape.at(0), module.shape.at(1), format,
                          compression_of(plan, module.name, format));
  }

  std::vector<at::Tensor> pack(const ExportPlan& plan, const quant::QuantizedWeight& weight) const override {
    return pack_module(weight, compression_of(plan, weight.name, weight.format));
  }

  quant::QuantizedWeight unpack(const ExportPlan& plan, const recipe::ModuleInfo& module,
                                const quant::WeightFormat& format,
                                const std::vector<at::Tensor>& stored) const override {
    return unpack_module(module.name, module.shape.at(0), module.shape.at(1), format,
                         compression_of(plan, module.name, format), stored);
  }

  Json quantization_config(const ExportPlan& plan) const override { return compressed_tensors_config(plan); }
};

}  // namespace

std::unique_ptr<const Layout> compressed_tensors_layout() { return std::make_unique<CompressedTensorsLayout>(); }

}  // namespace autoround::exporter
