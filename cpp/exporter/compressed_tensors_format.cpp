#include "exporter/compressed_tensors_format.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/hash.hpp"
#include "exporter/compressed_tensors_config.hpp"
#include "exporter/compressed_tensors_rules.hpp"
#include "exporter/folder_output.hpp"
#include "exporter/packed_module.hpp"
#include "model/weight_source.hpp"
#include "quant/packing.hpp"

namespace autoround::exporter {
namespace {

std::vector<checkpoint::TensorInfo> stored_tensors(const recipe::ModuleInfo& module,
                                                   const quant::WeightFormat& format) {
  return packed_tensors(module.name, module.shape.at(0), module.shape.at(1), format);
}

FolderPlan plan_tensors(const ExportPlan& plan) { return plan_folder(plan, stored_tensors); }

std::string planned_config(const ExportPlan& plan) { return config_text(plan, compressed_tensors_config(plan)); }

void check_announced(const ExportPlan& plan, const quant::QuantizedWeight& weight) {
  const auto planned = plan.formats.find(weight.name);
  if (planned == plan.formats.end()) fail(Code::internal, weight.name, "the plan does not quantize this module");
  const quant::WeightFormat& format = planned->second;
  const quant::WeightFormat& given = weight.format;
  if (given.bits != format.bits || given.symmetric != format.symmetric || given.group != format.group ||
      weight.scales.scalar_type() != format.scale_type || weight.zero_points.defined() == format.symmetric) {
    fail(Code::internal, weight.name, "the quantized weight has another format than the plan announced");
  }
}

// A loader computes with whatever it finds: NaN spreads, and a zero scale erases its group in silence.
void check_scales(const quant::QuantizedWeight& weight) {
  const at::Tensor bad = at::logical_or(at::isfinite(weight.scales).logical_not(), weight.scales == 0);
  if (!bad.any().item<bool>()) return;
  const at::Tensor first = at::nonzero(bad)[0];
  std::string place = std::to_string(first[0].item<std::int64_t>());
  if (first.numel() > 1) place += ", " + std::to_string(first[1].item<std::int64_t>());
  const double value = weight.scales.to(at::kDouble).masked_select(bad)[0].item<double>();
  fail(Code::numeric, weight.name,
       "the scale at [" + place + "] is " + std::to_string(value) + "; a stored scale must be finite and not zero");
}

WrittenTensor write_tensor(checkpoint::ShardWriter& writer, const std::string& name, const at::Tensor& tensor) {
  const at::Tensor flat = tensor.cpu().contiguous();
  const gsl::span<const std::byte> bytes(static_cast<const std::byte*>(flat.const_data_ptr()), flat.nbytes());
  writer.write(name, 0, bytes);
  return {name, bytes.size(), hash_of(bytes)};
}

at::Tensor read_tensor(const checkpoint::ShardWriter& writer, const checkpoint::TensorInfo& info) {
  at::Tensor tensor = at::empty(info.shape, model::torch_type(info.dtype));
  writer.read(info.name, {static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.nbytes()});
  return tensor;
}

}  // namespace

void CompressedTensorsFormat::check(const ExportPlan& plan) const { check_compressed_tensors(plan); }

std::uint64_t CompressedTensorsFormat::disk_bytes(const ExportPlan& plan) const {
  return folder_bytes(plan, plan_tensors(plan), planned_config(plan));
}

void CompressedTensorsFormat::begin(const ExportPlan& plan, const std::string& directory) {
  if (is_inside(directory, plan.checkpoint.directory())) {
    fail(Code::invalid_argument, directory, "the output would be written into the checkpoint's own folder");
  }
  FolderPlan folder = plan_tensors(plan);
  plan_ = &plan;
  directory_ = directory;
  writer_ = std::make_unique<checkpoint::ShardWriter>(directory, std::move(folder.tensors), max_shard_bytes_);
  copy_tensors(plan.checkpoint, folder.copies, *writer_);
}

std::vector<WrittenTensor> CompressedTensorsFormat::write(const quant::QuantizedWeight& weight) {
  check_announced(*plan_, weight);
  check_scales(weight);
  const PackedNames names(weight.name);
  const at::Tensor shape = at::tensor({weight.codes.size(0), weight.codes.size(1)}, at::kLong);
  std::vector<WrittenTensor> written;
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    written.push_back(write_tensor(*writer_, name, tensor));
  };
  add(names.packed, quant::pack_rows(weight.codes, weight.format.bits));
  add(names.scale, weight.scales);
  add(names.shape, shape);
  if (!weight.format.symmetric) add(names.zero_point, pack_zero_points(weight.zero_points, weight.format));
  return written;
}

std::vector<checkpoint::TensorInfo> CompressedTensorsFormat::tensors_of(const std::string& module) const {
  const auto format = plan_->formats.find(module);
  const auto found = std::find_if(plan_->modules.begin(), plan_->modules.end(),
                                  [&](const recipe::ModuleInfo& info) { return info.name == module; });
  if (format == plan_->formats.end() || found == plan_->modules.end()) return {};
  return stored_tensors(*found, format->second);
}

std::string CompressedTensorsFormat::damage(const std::string& module,
                                            const std::vector<WrittenTensor>& tensors) const {
  const std::vector<checkpoint::TensorInfo> wanted = tensors_of(module);
  const auto same = [](const checkpoint::TensorInfo& info, const WrittenTensor& tensor) {
    return info.name == tensor.name && info.byte_size() == tensor.bytes;
  };
  if (wanted.empty() || !std::equal(wanted.begin(), wanted.end(), tensors.begin(), tensors.end(), same))
    return "the tensors of " + module + " are not those that this run stores";
  for (const WrittenTensor& tensor : tensors)
    if (!writer_->holds(tensor.name, tensor.hash))
      return writer_->place_of(tensor.name) + ": the " + std::to_string(tensor.bytes) + " bytes of " + tensor.name +
             " are not those that were written";
  return "";
}

void CompressedTensorsFormat::keep(const std::string& module) {
  for (const checkpoint::TensorInfo& info : tensors_of(module)) writer_->keep(info.name);
}

quant::QuantizedWeight CompressedTensorsFormat::read(const std::string& module) const {
  const quant::WeightFormat& format = plan_->formats.at(module);
  const PackedNames names(module);
  std::map<std::string, at::Tensor> stored;
  for (const checkpoint::TensorInfo& info : tensors_of(module)) stored.emplace(info.name, read_tensor(*writer_, info));
  const auto* shape = stored.at(names.shape).const_data_ptr<std::int64_t>();
  quant::QuantizedWeight weight{module, format, {}, stored.at(names.scale), {}};
  weight.codes = quant::unpack_rows(stored.at(names.packed), format.bits, shape[1]);
  if (!format.symmetric) weight.zero_points = unpack_zero_points(stored.at(names.zero_point), format, shape[0]);
  return weight;
}

void CompressedTensorsFormat::finish() {
  copy_companions(plan_->checkpoint, directory_);
  write_text_file(join_path(directory_, "recipe.yaml"), plan_->recipe.dump(recipe::Syntax::yaml));
  writer_->finish();
  write_text_file(join_path(directory_, "config.json"), planned_config(*plan_));
}

}  // namespace autoround::exporter
