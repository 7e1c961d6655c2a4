#include "exporter/fake_layout.hpp"

#include "base/error.hpp"
#include "base/text.hpp"
#include "exporter/folder_rules.hpp"
#include "model/mapped_memory.hpp"
#include "model/stacked_experts.hpp"
#include "model/weight_source.hpp"

namespace autoround::exporter {
namespace {

/// The type of the weight in the checkpoint: a head that was tied has that of the embeddings, an expert that of its
/// stack.
checkpoint::DType stored_type(const ExportPlan& plan, const recipe::ModuleInfo& module) {
  const auto part = model::find_expert_part(plan.checkpoint, module.weight);
  return plan.checkpoint.find(part ? part->stack : module.weight)->dtype;
}

class FakeLayout final : public Layout {
 public:
  void check(const ExportPlan& plan) const override {
    const std::vector<QuantizedModule> modules = quantized_modules(plan);
    const Offences offences = schemes_without_a_place(plan, modules, {.floats = true, .supers = true, .stacks = true});
    if (!offences.empty()) fail(Code::unsupported, "fake", "this format has no place for it: " + join(offences, "; "));
    if (modules.empty()) fail(Code::invalid_argument, "fake", "the recipe quantizes no module of this model");
  }

  std::vector<checkpoint::TensorInfo> tensors(const ExportPlan& plan, const recipe::ModuleInfo& module,
                                              const quant::WeightFormat&) const override {
    return {{module.name + ".weight", stored_type(plan, module), module.shape}};
  }

  bool keeps_stacks() const override { return true; }

  std::vector<at::Tensor> pack(const ExportPlan& plan, const quant::QuantizedWeight& weight) const override {
    for (const recipe::ModuleInfo& module : plan.modules) {
      if (module.name != weight.name) continue;
      at::Tensor values = model::mapped_tensor(module.shape, model::torch_type(stored_type(plan, module)));
      quant::dequantize_into(weight, values);
      return {values};
    }
    fail(Code::internal, weight.name, "the plan has no such module");
  }

  bool keeps_codes() const override { return false; }
  quant::QuantizedWeight unpack(const ExportPlan&, const recipe::ModuleInfo& module, const quant::WeightFormat&,
                                const std::vector<at::Tensor>&) const override {
    fail(Code::internal, module.name, "the codes of this weight were not kept");
  }

  Json quantization_config(const ExportPlan&) const override { return nullptr; }
};

}  // namespace

std::unique_ptr<const Layout> fake_layout() { return std::make_unique<FakeLayout>(); }

}  // namespace autoround::exporter
