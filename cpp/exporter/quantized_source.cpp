#include "exporter/quantized_source.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/error.hpp"
#include "base/text.hpp"
#include "exporter/compressed_tensors_schemes.hpp"
#include "exporter/transposed_source.hpp"
#include "model/spec.hpp"
#include "model/stacked_experts.hpp"
#include "quant/packing.hpp"
#include "recipe/matching.hpp"

namespace autoround::exporter {
namespace {

using checkpoint::Checkpoint;

/// What only a quantized module has; one of them may be missing, which the module then says.
constexpr std::string_view kSuffixes[] = {".weight_scale", ".weight_packed"};

/// The module that a tensor tells to be quantized; "": none.
std::string module_with(const std::string& tensor) {
  for (const std::string_view suffix : kSuffixes)
    if (tensor.ends_with(suffix)) return tensor.substr(0, tensor.size() - suffix.size());
  return "";
}

class QuantizedWeights final : public model::WeightSource {
 public:
  QuantizedWeights(std::shared_ptr<const Checkpoint> checkpoint, std::map<std::string, StoredModule> modules)
      : checkpoint_(std::move(checkpoint)),
        plain_(model::checkpoint_weights(checkpoint_)),
        modules_(std::move(modules)) {}

  bool has(const std::string& name) const override { return modules_.count(name) != 0 || plain_->has(name); }

  at::Tensor load(const std::string& name, at::ScalarType dtype) const override {
    const StoredModule* module = find(name);
    if (module == nullptr) return plain_->load(name, dtype);
    std::vector<at::Tensor> stored;
    for (const auto& info : module->tensors()) stored.push_back(model::read_stored(*checkpoint_, info.name));
    return dequantize(unpack_module(module->name(), module->rows(), module->columns(), module->format(),
                                    module->compression(), stored),
                      dtype);
  }

  void load_into(const std::string& name, at::Tensor out) const override {
    if (find(name) == nullptr) return plain_->load_into(name, std::move(out));
    const at::Tensor loaded = load(name, out.scalar_type());
    model::require_shape(name, loaded.sizes().vec(), out.sizes().vec());
    out.copy_(loaded);
  }

  at::Tensor load_rows(const std::string& name, const at::Tensor& ids, at::ScalarType dtype) const override {
    const StoredModule* module = find(name);
    if (module == nullptr) return plain_->load_rows(name, ids, dtype);
    const quant::WeightFormat& format = module->format();
    // Embeddings are stored in this way only, and are large: nothing but the rows is read.
    const bool by_row =
        module->compression() == CompressionFormat::pack_quantized && format.symmetric && format.group != 0;
    if (!by_row) return load(name, dtype).index_select(0, ids.flatten());
    const StoredNames names(module->name());
    const at::Tensor scales = plain_->load_rows(names.scale, ids, format.scale_type);
    const at::Tensor codes =
        quant::unpack_rows(packed_rows(*module, names.packed, ids), format.bits, module->columns());
    return dequantize({module->name(), format, codes, scales, {}}, dtype);
  }

 private:
  const StoredModule* find(const std::string& name) const {
    const auto found = modules_.find(name);
    return found == modules_.end() ? nullptr : &found->second;
  }

  at::Tensor packed_rows(const StoredModule& module, const std::string& name, const at::Tensor& ids) const {
    const std::int64_t words = checkpoint_->find(name)->shape[1];
    at::Tensor rows = at::empty({ids.numel(), words}, at::kInt);
    const at::Tensor list = ids.to(at::kLong).cpu().flatten().contiguous();
    const std::uint64_t row_bytes = static_cast<std::uint64_t>(words) * sizeof(std::int32_t);
    auto* out = static_cast<std::byte*>(rows.mutable_data_ptr());
    for (std::int64_t i = 0; i < list.numel(); ++i, out += row_bytes) {
      const std::int64_t row = list.const_data_ptr<std::int64_t>()[i];
      if (row < 0 || row >= module.rows()) {
        fail(Code::invalid_argument, name,
             "row " + std::to_string(row) + " was asked for, there are " + std::to_string(module.rows()));
      }
      checkpoint_->read(name, static_cast<std::uint64_t>(row) * row_bytes, {out, row_bytes});
    }
    return rows;
  }

  // Loaders compute in the type of the scale; the cast comes after. A scale that is no number would spread in silence.
  static at::Tensor dequantize(const quant::QuantizedWeight& weight, at::ScalarType dtype) {
    if (!at::isfinite(weight.scales.to(at::kFloat)).all().item<bool>()) {
      fail(Code::parse, StoredNames(weight.name).scale, "the tensor holds a NaN or an infinity");
    }
    const bool float_scales =
        !quant::has_power_scales(weight.format.number) && weight.format.number != quant::Number::nvfp4;
    return quant::dequantize(weight, float_scales ? weight.format.scale_type : at::kFloat).to(dtype);
  }

  std::shared_ptr<const Checkpoint> checkpoint_;
  std::shared_ptr<model::WeightSource> plain_;
  std::map<std::string, StoredModule> modules_;  // by the name of the weight that they replace
};

std::map<std::string, StoredModule> read_modules(const Checkpoint& checkpoint, const std::vector<SchemeGroup>& groups) {
  const model::DecoderSpec spec = model::read_spec(checkpoint);
  std::map<std::string, StoredModule> modules;
  for (const auto& tensor : checkpoint.tensors()) {
    recipe::ModuleInfo info;
    info.name = module_with(tensor.name);
    if (info.name.empty() || modules.count(StoredNames(info.name).weight) != 0) continue;
    info.alias = spec.alias(info.name);
    info.class_name = info.name == spec.embed_tokens() ? "Embedding" : "Linear";
    const SchemeGroup* group = find_group(groups, info);
    if (group == nullptr) {
      fail(Code::parse, tensor.name, "the tensor is packed, but no group of quantization_config targets its module");
    }
    modules.emplace(StoredNames(info.name).weight,
                    StoredModule(checkpoint, info.name, group->format, group->compression));
  }
  return modules;
}

std::optional<JsonView> compressed_tensors_section(const Checkpoint& checkpoint) {
  if (!checkpoint.config().is_quantized()) return std::nullopt;
  auto quantization = checkpoint.config().view().object("quantization_config");
  if (!quantization || quantization->string_or("quant_method", "") != "compressed-tensors") return std::nullopt;
  return quantization;
}

}  // namespace

std::shared_ptr<model::WeightSource> open_weights(std::shared_ptr<const Checkpoint> checkpoint) {
  if (!checkpoint->config().is_quantized()) return model::checkpoint_weights(std::move(checkpoint));
  const JsonView config = checkpoint->config().view();
  const auto quantization = config.object("quantization_config");
  if (!quantization) fail(Code::parse, config.subject(), "`quantization_config` is null");
  const std::string method = quantization->string_or("quant_method", "");
  if (is_transposed(method)) return open_transposed(std::move(checkpoint), *quantization);
  if (method != "compressed-tensors") {
    fail(Code::unsupported, config.subject(),
         "weights quantized by " + quote(method) +
             " cannot be read, only those of compressed-tensors, auto-round, gptq and awq");
  }
  auto modules = read_modules(*checkpoint, read_groups(*quantization));
  return std::make_shared<QuantizedWeights>(std::move(checkpoint), std::move(modules));
}

quant::InputQuantizers open_inputs(const Checkpoint& checkpoint) {
  quant::InputQuantizers inputs;
  const auto config = compressed_tensors_section(checkpoint);
  if (!config) return inputs;
  for (const auto& [weight, module] : read_modules(checkpoint, read_groups(*config))) {
    const auto& format = module.format().input;
    if (!format) continue;
    const StoredNames names(module.name());
    quant::InputScales scales;
    if (format->needs_scale()) scales.scale = model::read_stored(checkpoint, names.input_scale);
    if (format->needs_global_scale()) scales.global_scale = model::read_stored(checkpoint, names.input_global_scale);
    inputs.emplace(module.name(), quant::InputQuantizer(*format, scales));
  }
  return inputs;
}

}  // namespace autoround::exporter
