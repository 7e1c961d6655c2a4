#include "exporter/compressed_tensors_layout.hpp"

#include "exporter/compressed_tensors_config.hpp"
#include "exporter/compressed_tensors_rules.hpp"
#include "exporter/stored_module.hpp"

namespace autoround::exporter {
namespace {

class CompressedTensorsLayout final : public Layout {
 public:
  void check(const ExportPlan& plan) const override { check_compressed_tensors(plan); }

  std::vector<checkpoint::TensorInfo> tensors(const ExportPlan&, const recipe::ModuleInfo& module,
                                              const quant::WeightFormat& format) const override {
    return stored_tensors(module.name, module.shape.at(0), module.shape.at(1), format, compression_of(format));
  }

  std::vector<at::Tensor> pack(const ExportPlan&, const quant::QuantizedWeight& weight) const override {
    return pack_module(weight, compression_of(weight.format));
  }

  quant::QuantizedWeight unpack(const ExportPlan&, const recipe::ModuleInfo& module, const quant::WeightFormat& format,
                                const std::vector<at::Tensor>& stored) const override {
    return unpack_module(module.name, module.shape.at(0), module.shape.at(1), format, compression_of(format), stored);
  }

  Json quantization_config(const ExportPlan& plan) const override { return compressed_tensors_config(plan); }
};

}  // namespace

std::unique_ptr<const Layout> compressed_tensors_layout() { return std::make_unique<CompressedTensorsLayout>(); }

}  // namespace autoround::exporter
