#include "exporter/transposed_source.hpp"

#include <ATen/ATen.h>

#include <map>
#include <utility>

#include "base/error.hpp"
#include "base/text.hpp"
#include "exporter/transposed_packing.hpp"
#include "model/spec.hpp"
#include "model/stacked_experts.hpp"
#include "recipe/matching.hpp"

namespace autoround::exporter {
namespace {

using checkpoint::Checkpoint;
using checkpoint::TensorInfo;

Container read_container(const JsonView& config) {
  const std::string method = config.string_or("quant_method", "");
  const std::string key = method == "auto-round" ? "packing_format" : method == "awq" ? "version" : "checkpoint_format";
  const std::string fallback = method == "auto-round" ? "auto_round:auto_gptq" : method == "awq" ? "gemm" : "gptq";
  const std::string name = config.string_or(key, fallback);
  if (name == "auto_round:auto_gptq" || name == "gptq") return Container::gptq;
  if (name == "auto_round" || name == "auto_round:gptqmodel" || name == "gptq_v2") return Container::gptq_v2;
  if (name == "auto_round:auto_awq" || (method == "awq" && name == "gemm")) return Container::awq;
  fail(Code::unsupported, config.subject(), concat({key, " ", quote(name), " cannot be read"}));
}

/// Zero points are always read: what they are where `sym` is set is the writer's affair.
quant::WeightFormat read_format(const JsonView& json, const quant::WeightFormat& otherwise) {
  quant::WeightFormat format{otherwise.bits, false, otherwise.group, at::kHalf};
  format.bits = static_cast<int>(json.integer_or("bits", otherwise.bits, 1, 16));
  format.group = json.integer_or("group_size", otherwise.group, -1, std::int64_t{1} << 31);
  return format;
}

bool names(const std::string& key, const recipe::ModuleInfo& module) {
  return key == module.name || recipe::matches("re:" + key, module);
}

/// The config's scheme, or that of the layer in auto-round's `extra_config` or GPTQ's `dynamic`.
quant::WeightFormat format_of(const JsonView& config, const recipe::ModuleInfo& module) {
  const quant::WeightFormat common = read_format(config, {4, false, 128, at::kHalf});
  if (const auto extra = config.object("extra_config")) {
    for (const auto& item : extra->json().items())
      if (names(item.key(), module)) return read_format(extra->object(item.key()).value(), common);
  }
  if (const auto dynamic = config.object("dynamic")) {
    for (const auto& item : dynamic->json().items())
      if (item.key().rfind("+:", 0) == 0 && names(item.key().substr(2), module))
        return read_format(dynamic->object(item.key()).value(), common);
  }
  return common;
}

const TensorInfo& require(const Checkpoint& checkpoint, const std::string& name) {
  const TensorInfo* info = checkpoint.find(name);
  if (info == nullptr) fail(Code::parse, name, "the tensor is missing; its module has a qweight beside it");
  return *info;
}

struct StoredModule {
  std::string name;
  quant::WeightFormat format;
  std::vector<TensorInfo> tensors;
};

StoredModule read_module(const Checkpoint& checkpoint, const std::string& name, const quant::WeightFormat& format,
                         Container container) {
  const TensorInfo &packed = require(checkpoint, name + ".qweight"), &scales = require(checkpoint, name + ".scales");
  if (packed.shape.size() != 2 || scales.shape.size() != 2)
    fail(Code::parse, packed.name, "qweight and scales must be matrices");
  if (format.bits < 2 || format.bits > 8 || format.group == 0)
    fail(Code::parse, packed.name, "the module is quantized, and the config has no bits or group_size for it");
  const std::int64_t out = scales.shape[1];
  const std::int64_t in = container == Container::awq ? packed.shape[0] : packed.shape[0] * 32 / format.bits;
  if (out < 32 || in < 32 || out % 32 != 0 || in % 32 != 0)
    fail(Code::parse, packed.name, "the features are not multiples of 32");
  StoredModule module{name, format, transposed_tensors(name, out, in, format, container)};
  for (const TensorInfo& wanted : module.tensors) {
    const TensorInfo& found = require(checkpoint, wanted.name);
    if (found.dtype != wanted.dtype || found.shape != wanted.shape)
      fail(Code::parse, found.name,
           concat({"the tensor is ", checkpoint::dtype_name(found.dtype), " ", checkpoint::shape_text(found.shape),
                   ", wanted ", checkpoint::dtype_name(wanted.dtype), " ", checkpoint::shape_text(wanted.shape),
                   " from quantization_config"}));
  }
  return module;
}

class TransposedWeights final : public model::WeightSource {
 public:
  TransposedWeights(std::shared_ptr<const Checkpoint> checkpoint, std::map<std::string, StoredModule> modules,
                    Container container)
      : checkpoint_(std::move(checkpoint)),
        plain_(model::checkpoint_weights(checkpoint_)),
        modules_(std::move(modules)),
        container_(container) {}

  bool has(const std::string& name) const override { return modules_.count(name) != 0 || plain_->has(name); }

  // Loaders compute in the type of the scale; the cast comes after.
  at::Tensor load(const std::string& name, at::ScalarType dtype) const override {
    const auto module = modules_.find(name);
    if (module == modules_.end()) return plain_->load(name, dtype);
    std::vector<at::Tensor> stored;
    for (const TensorInfo& info : module->second.tensors) stored.push_back(model::read_stored(*checkpoint_, info.name));
    const auto weight = unpack_transposed(module->second.name, module->second.format, stored, container_);
    return quant::dequantize(weight, at::kHalf).to(dtype);
  }

  void load_into(const std::string& name, at::Tensor out) const override {
    if (modules_.count(name) == 0) return plain_->load_into(name, std::move(out));
    const at::Tensor loaded = load(name, out.scalar_type());
    model::require_shape(name, loaded.sizes().vec(), out.sizes().vec());
    out.copy_(loaded);
  }

  at::Tensor load_rows(const std::string& name, const at::Tensor& ids, at::ScalarType dtype) const override {
    if (modules_.count(name) == 0) return plain_->load_rows(name, ids, dtype);
    return load(name, dtype).index_select(0, ids.flatten().to(at::kLong));
  }

 private:
  std::shared_ptr<const Checkpoint> checkpoint_;
  std::shared_ptr<model::WeightSource> plain_;
  std::map<std::string, StoredModule> modules_;  // by the name of the weight that they replace
  Container container_;
};

}  // namespace

bool is_transposed(const std::string& quant_method) {
  return quant_method == "auto-round" || quant_method == "gptq" || quant_method == "awq";
}

std::shared_ptr<model::WeightSource> open_transposed(std::shared_ptr<const Checkpoint> checkpoint,
                                                     const JsonView& config) {
  if (config.boolean_or("desc_act", false))
    fail(Code::unsupported, config.subject(), "`desc_act`: activation ordering cannot be read");
  const Container container = read_container(config);
  constexpr std::string_view suffix = ".qweight";
  const model::DecoderSpec spec = model::read_spec(*checkpoint);
  std::map<std::string, StoredModule> modules;
  for (const TensorInfo& tensor : checkpoint->tensors()) {
    const std::string& name = tensor.name;
    if (name.size() <= suffix.size() || name.compare(name.size() - suffix.size(), suffix.size(), suffix) != 0) continue;
    recipe::ModuleInfo info;
    info.name = name.substr(0, name.size() - suffix.size());
    info.alias = spec.alias(info.name);
    info.class_name = "Linear";
    modules.emplace(info.name + ".weight", read_module(*checkpoint, info.name, format_of(config, info), container));
  }
  return std::make_shared<TransposedWeights>(std::move(checkpoint), std::move(modules), container);
}

}  // namespace autoround::exporter
