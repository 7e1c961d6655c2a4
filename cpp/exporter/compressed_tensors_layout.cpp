#include "exporter/compressed_tensors_layout.hpp"

#include <ATen/ATen.h>

#include "exporter/compressed_tensors_config.hpp"
#include "exporter/compressed_tensors_rules.hpp"
#include "exporter/packed_module.hpp"
#include "quant/packing.hpp"

namespace autoround::exporter {
namespace {

class CompressedTensorsLayout final : public Layout {
 public:
  void check(const ExportPlan& plan) const override { check_compressed_tensors(plan); }

  std::vector<checkpoint::TensorInfo> tensors(const ExportPlan&, const recipe::ModuleInfo& module,
                                              const quant::WeightFormat& format) const override {
    return packed_tensors(module.name, module.shape.at(0), module.shape.at(1), format);
  }

  std::vector<at::Tensor> pack(const ExportPlan&, const quant::QuantizedWeight& weight) const override {
    std::vector<at::Tensor> stored = {quant::pack_rows(weight.codes, weight.format.bits), weight.scales,
                                      at::tensor({weight.codes.size(0), weight.codes.size(1)}, at::kLong)};
    if (!weight.format.symmetric) stored.push_back(pack_zero_points(weight.zero_points, weight.format));
    return stored;
  }

  quant::QuantizedWeight unpack(const ExportPlan&, const recipe::ModuleInfo& module, const quant::WeightFormat& format,
                                const std::vector<at::Tensor>& stored) const override {
    quant::QuantizedWeight weight{module.name, format, {}, stored[1], {}};
    weight.codes = quant::unpack_rows(stored[0], format.bits, module.shape.at(1));
    if (!format.symmetric) weight.zero_points = unpack_zero_points(stored[3], format, module.shape.at(0));
    return weight;
  }

  Json quantization_config(const ExportPlan& plan) const override { return compressed_tensors_config(plan); }
};

}  // namespace

std::unique_ptr<const Layout> compressed_tensors_layout() { return std::make_unique<CompressedTensorsLayout>(); }

}  // namespace autoround::exporter
