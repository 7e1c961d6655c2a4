#include "exporter/quantized_source.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/error.hpp"
#include "base/text.hpp"
#include "exporter/compressed_tensors_config.hpp"
#include "exporter/packed_module.hpp"
#include "exporter/transposed_source.hpp"
#include "model/spec.hpp"
#include "quant/packing.hpp"
#include "recipe/matching.hpp"

namespace autoround::exporter {
namespace {

using checkpoint::Checkpoint;

struct Group {
  std::vector<std::string> targets;
  quant::WeightFormat format;
};

std::vector<std::string> read_targets(const JsonView& group) {
  const auto found = group.json().find("targets");
  if (found == group.json().end() || !found->is_array()) {
    fail(Code::parse, group.subject(), "`targets` is missing or no list of strings");
  }
  std::vector<std::string> targets;
  for (const auto& target : *found) {
    if (!target.is_string()) fail(Code::parse, group.subject(), "`targets` holds something that is no string");
    targets.push_back(target.get<std::string>());
  }
  return targets;
}

std::int64_t read_grouping(const JsonView& weights) {
  const bool has_size = weights.has("group_size");
  const std::int64_t size = weights.integer_or("group_size", -1, -1, std::int64_t{1} << 31);
  const std::string inferred = !has_size ? "tensor" : size > 0 ? "group" : "channel";
  const std::string strategy = weights.string_or("strategy", inferred);
  if (strategy == "tensor") return 0;
  if (strategy == "channel") return -1;
  if (strategy != "group") {
    fail(Code::unsupported, weights.subject(), "strategy " + quote(strategy) + " is not supported");
  }
  if (size < 1) fail(Code::parse, weights.subject(), "strategy `group` needs a positive group_size");
  return size;
}

Group read_group(const JsonView& group, const std::string& outer_format) {
  const std::string format = group.string_or("format", outer_format);
  if (format != kPackQuantized) {
    fail(Code::unsupported, group.subject(), "format " + quote(format) + " cannot be read, only " + kPackQuantized);
  }
  if (group.has("input_activations") || group.has("output_activations")) {
    fail(Code::unsupported, group.subject(), "quantized activations cannot be evaluated");
  }
  const auto weights = group.object("weights");
  if (!weights) fail(Code::parse, group.subject(), "`weights` is missing");
  if (const std::string type = weights->string_or("type", "int"); type != "int") {
    fail(Code::unsupported, weights->subject(), "weights of type " + quote(type) + " cannot be read");
  }
  Group result{read_targets(group), {}};
  result.format.bits = static_cast<int>(weights->integer("num_bits", 2, 8));
  result.format.symmetric = weights->boolean_or("symmetric", true);
  result.format.group = read_grouping(*weights);
  return result;
}

std::vector<Group> read_groups(const JsonView& config) {
  const auto groups = config.object("config_groups");
  if (!groups || groups->json().empty()) fail(Code::parse, config.subject(), "`config_groups` is missing or empty");
  const std::string format = config.string_or("format", "");
  std::vector<Group> result;
  for (const auto& item : groups->json().items()) {
    const auto group = groups->object(item.key());
    if (!group) fail(Code::parse, groups->subject(), "group " + quote(item.key()) + " is null");
    result.push_back(read_group(*group, format));
  }
  return result;
}

// The order of compressed-tensors: exact name, then the patterns in alphabetical order, then the class.
const Group* find_group(const std::vector<Group>& groups, const recipe::ModuleInfo& module) {
  using Claim = std::pair<int, std::string>;
  const Group* best = nullptr;
  Claim best_claim;
  for (const auto& group : groups) {
    for (const auto& target : group.targets) {
      if (!recipe::matches(target, module)) continue;
      const bool pattern = target.rfind("re:", 0) == 0;
      const Claim claim = target == module.name ? Claim{0, ""} : pattern ? Claim{1, target} : Claim{2, ""};
      if (best == nullptr || claim < best_claim) {
        best = &group;
        best_claim = claim;
      }
    }
  }
  return best;
}

at::Tensor read_integers(const Checkpoint& checkpoint, const std::string& name) {
  const checkpoint::TensorInfo& info = *checkpoint.find(name);
  at::Tensor tensor = at::empty(info.shape, info.dtype == checkpoint::DType::i8 ? at::kChar : at::kInt);
  checkpoint.read(name, 0, {static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.nbytes()});
  return tensor;
}

class PackedWeights final : public model::WeightSource {
 public:
  PackedWeights(std::shared_ptr<const Checkpoint> checkpoint, std::map<std::string, PackedModule> modules)
      : checkpoint_(std::move(checkpoint)),
        plain_(model::checkpoint_weights(checkpoint_)),
        modules_(std::move(modules)) {}

  bool has(const std::string& name) const override { return modules_.count(name) != 0 || plain_->has(name); }

  at::Tensor load(const std::string& name, at::ScalarType dtype) const override {
    const PackedModule* module = find(name);
    if (module == nullptr) return plain_->load(name, dtype);
    const at::Tensor packed = read_integers(*checkpoint_, module->names().packed);
    const at::Tensor scales = plain_->load(module->names().scale, module->format().scale_type);
    return dequantize(*module, packed, scales, zero_points(*module), dtype);
  }

  void load_into(const std::string& name, at::Tensor out) const override {
    if (find(name) == nullptr) return plain_->load_into(name, std::move(out));
    const at::Tensor loaded = load(name, out.scalar_type());
    model::require_shape(name, loaded.sizes().vec(), out.sizes().vec());
    out.copy_(loaded);
  }

  at::Tensor load_rows(const std::string& name, const at::Tensor& ids, at::ScalarType dtype) const override {
    const PackedModule* module = find(name);
    if (module == nullptr) return plain_->load_rows(name, ids, dtype);
    const bool one_scale = module->format().group == 0;
    const std::string& scale = module->names().scale;
    const at::ScalarType scale_type = module->format().scale_type;
    const at::Tensor scales = one_scale ? plain_->load(scale, scale_type) : plain_->load_rows(scale, ids, scale_type);
    at::Tensor zeros = zero_points(*module);
    if (zeros.defined() && !one_scale) zeros = zeros.index_select(0, ids.flatten());
    return dequantize(*module, packed_rows(*module, ids), scales, zeros, dtype);
  }

 private:
  const PackedModule* find(const std::string& name) const {
    const auto found = modules_.find(name);
    return found == modules_.end() ? nullptr : &found->second;
  }

  at::Tensor packed_rows(const PackedModule& module, const at::Tensor& ids) const {
    const std::string& name = module.names().packed;
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

  // Unsigned, shaped like the scales; undefined when symmetric.
  at::Tensor zero_points(const PackedModule& module) const {
    if (module.format().symmetric) return {};
    return unpack_zero_points(read_integers(*checkpoint_, module.names().zero_point), module.format(), module.rows());
  }

  // Loaders compute in the type of the scale; the cast comes after.
  static at::Tensor dequantize(const PackedModule& module, const at::Tensor& packed, const at::Tensor& scales,
                               const at::Tensor& zeros, at::ScalarType dtype) {
    const at::Tensor codes = quant::unpack_rows(packed, module.format().bits, module.columns());
    return quant::dequantize({module.names().weight, module.format(), codes, scales, zeros}, scales.scalar_type())
        .to(dtype);
  }

  std::shared_ptr<const Checkpoint> checkpoint_;
  std::shared_ptr<model::WeightSource> plain_;
  std::map<std::string, PackedModule> modules_;  // by the name of the weight that they replace
};

std::map<std::string, PackedModule> read_modules(const Checkpoint& checkpoint, const std::vector<Group>& groups) {
  constexpr std::string_view suffix = ".weight_packed";
  const std::string embeddings = model::read_spec(checkpoint).embed_tokens();
  std::map<std::string, PackedModule> modules;
  for (const auto& tensor : checkpoint.tensors()) {
    const std::string& name = tensor.name;
    if (name.size() <= suffix.size() || name.compare(name.size() - suffix.size(), suffix.size(), suffix) != 0) continue;
    recipe::ModuleInfo info;
    info.name = name.substr(0, name.size() - suffix.size());
    info.class_name = info.name == embeddings ? "Embedding" : "Linear";
    const Group* group = find_group(groups, info);
    if (group == nullptr) {
      fail(Code::parse, name, "the tensor is packed, but no group of quantization_config targets its module");
    }
    modules.emplace(PackedNames(info.name).weight, PackedModule(checkpoint, info.name, group->format));
  }
  return modules;
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
  return std::make_shared<PackedWeights>(std::move(checkpoint), std::move(modules));
}

}  // namespace autoround::exporter
