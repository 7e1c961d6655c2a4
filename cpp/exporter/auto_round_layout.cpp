#include "exporter/auto_round_layout.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include "base/error.hpp"
#include "base/text.hpp"
#include "exporter/auto_round_config.hpp"
#include "exporter/folder_rules.hpp"
#include "exporter/transposed_packing.hpp"

namespace autoround::exporter {
namespace {

/// What a format of this kind can hold besides what all can.
struct Limits {
  const char* name;
  bool outside_blocks;  // the head may be quantized
  bool one_scheme;      // for all layers
  bool stacks = false;  // experts that the checkpoint holds as one tensor
};

Offences without_a_place(const ExportPlan& plan, const std::vector<QuantizedModule>& modules, const Limits& limits,
                         Container container) {
  Offences offences = schemes_without_a_place(plan, modules, {.stacks = limits.stacks});
  for (const auto& [module, format, group] : modules) {
    const auto offence = [&, name = module->name](const std::string& why) {
      offences.push_back(concat({"`", name, "` ", why}));
    };
    if (is_embedding(*module)) offence("is an embedding");
    if (module->block < 0 && is_linear(*module) && !limits.outside_blocks) offence("is outside the decoder layers");
    if (format.group == 0) offence("has one scale for the whole tensor");
    if (format.scale_type != at::kHalf) offence("has scales that are not float16 (scale_dtype)");
    if (container == Container::awq && format.bits != 4)
      offence(concat({"has ", std::to_string(format.bits), " bits, not 4"}));
    if (format.bits == 5 || format.bits == 6 || format.bits == 7)
      offence(concat({"has ", std::to_string(format.bits), " bits, and readers know 2, 3, 4 and 8"}));
    if (container == Container::gptq && !format.symmetric)
      offence("is asymmetric, and a zero point of 0 has no place where one less is stored");
    if (limits.one_scheme && !same_scheme(format, modules.front().format))
      offence(concat({"is ", describe(format), ", other layers ", describe(modules.front().format)}));
  }
  return offences;
}

void check_plan(const ExportPlan& plan, const Limits& limits, Container container) {
  const std::vector<QuantizedModule> modules = quantized_modules(plan);
  const Offences homeless = without_a_place(plan, modules, limits, container);
  if (!homeless.empty()) {
    fail(Code::unsupported, limits.name,
         concat({"this format has no place for a part of the plan: ", join(homeless, "; ")}));
  }
  if (modules.empty()) fail(Code::invalid_argument, limits.name, "the recipe quantizes no module of this model");
  Offences offences;
  for (const auto& [module, format, group] : modules) {
    if (module->shape.at(0) % 32 != 0 || module->shape.at(1) % 32 != 0) {
      offences.push_back(concat(
          {"`", module->name, "` is ", checkpoint::shape_text(module->shape), ", not multiples of 32; ignore it"}));
    }
  }
  check_group_sizes(modules, offences);
  check_fused(plan, offences);
  if (!offences.empty()) {
    fail(Code::invalid_argument, limits.name,
         concat({"the format's readers would refuse this plan: ", join(offences, "; ")}));
  }
}

class TransposedLayout : public Layout {
 public:
  std::vector<checkpoint::TensorInfo> tensors(const ExportPlan& plan, const recipe::ModuleInfo& module,
                                              const quant::WeightFormat& format) const override {
    return transposed_tensors(module.name, module.shape.at(0), module.shape.at(1), format, container(plan));
  }
  std::vector<at::Tensor> pack(const ExportPlan& plan, const quant::QuantizedWeight& weight) const override {
    return pack_transposed(weight, container(plan));
  }
  quant::QuantizedWeight unpack(const ExportPlan& plan, const recipe::ModuleInfo& module,
                                const quant::WeightFormat& format,
                                const std::vector<at::Tensor>& stored) const override {
    return unpack_transposed(module.name, format, stored, container(plan));
  }
  bool config_has_own_file() const override { return true; }
  // AWQ's kernels know nothing else.
  std::string compute_dtype(const ExportPlan& plan) const override {
    return container(plan) == Container::awq ? "float16" : "";
  }

 protected:
  virtual Container container(const ExportPlan& plan) const = 0;
};

/// auto-round's own formats: any of the containers, named by packing_format.
class AutoRoundLayout final : public TransposedLayout {
 public:
  enum class Choice { by_plan, gptq, awq };
  explicit AutoRoundLayout(Choice choice) : choice_(choice) {}

  void check(const ExportPlan& plan) const override {
    check_plan(plan, {"auto_round", /*outside_blocks=*/true, /*one_scheme=*/false, /*stacks=*/true}, container(plan));
  }
  Json quantization_config(const ExportPlan& plan) const override {
    switch (container(plan)) {
      case Container::gptq:
        return auto_round_config(plan, "auto_round:auto_gptq");
      case Container::awq:
        return auto_round_config(plan, "auto_round:auto_awq");
      case Container::gptq_v2:
        break;
    }
    return auto_round_config(plan, "auto_round");
  }

 protected:
  Container container(const ExportPlan& plan) const override {
    if (choice_ != Choice::by_plan) return choice_ == Choice::awq ? Container::awq : Container::gptq;
    const auto all = [&](const auto& holds) {
      return std::all_of(plan.formats.begin(), plan.formats.end(),
                         [&](const auto& item) { return holds(item.second); });
    };
    if (all([](const quant::WeightFormat& format) { return format.symmetric; })) return Container::gptq;
    if (all([](const quant::WeightFormat& format) { return !format.symmetric && format.bits == 4; }))
      return Container::awq;
    return Container::gptq_v2;
  }

 private:
  Choice choice_;
};

class GptqLayout final : public TransposedLayout {
 public:
  void check(const ExportPlan& plan) const override {
    check_plan(plan, {"auto_gptq", /*outside_blocks=*/false, /*one_scheme=*/false}, container(plan));
  }
  std::vector<checkpoint::TensorInfo> tensors(const ExportPlan& plan, const recipe::ModuleInfo& module,
                                              const quant::WeightFormat& format) const override {
    auto tensors = TransposedLayout::tensors(plan, module, format);
    tensors.push_back({module.name + ".g_idx", checkpoint::DType::i32, {module.shape.at(1)}});
    return tensors;
  }
  std::vector<at::Tensor> pack(const ExportPlan& plan, const quant::QuantizedWeight& weight) const override {
    auto tensors = TransposedLayout::pack(plan, weight);
    const std::int64_t columns = weight.codes.size(1);
    tensors.push_back(
        at::arange(columns, at::kLong).floor_divide(weight.format.columns_per_group(columns)).to(at::kInt));
    return tensors;
  }
  Json quantization_config(const ExportPlan& plan) const override { return gptq_config(plan); }

 protected:
  Container container(const ExportPlan&) const override { return Container::gptq; }
};

class AwqLayout final : public TransposedLayout {
 public:
  void check(const ExportPlan& plan) const override {
    check_plan(plan, {"auto_awq", /*outside_blocks=*/false, /*one_scheme=*/true}, container(plan));
  }
  Json quantization_config(const ExportPlan& plan) const override { return awq_config(plan); }

 protected:
  Container container(const ExportPlan&) const override { return Container::awq; }
};

}  // namespace

std::unique_ptr<const Layout> auto_round_layout() {
  return std::make_unique<AutoRoundLayout>(AutoRoundLayout::Choice::by_plan);
}
std::unique_ptr<const Layout> auto_round_gptq_layout() {
  return std::make_unique<AutoRoundLayout>(AutoRoundLayout::Choice::gptq);
}
std::unique_ptr<const Layout> auto_round_awq_layout() {
  return std::make_unique<AutoRoundLayout>(AutoRoundLayout::Choice::awq);
}
std::unique_ptr<const Layout> auto_gptq_layout() { return std::make_unique<GptqLayout>(); }
std::unique_ptr<const Layout> auto_awq_layout() { return std::make_unique<AwqLayout>(); }

}  // namespace autoround::exporter
