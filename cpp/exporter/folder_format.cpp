#include "exporter/folder_format.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <gsl/assert>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/hash.hpp"
#include "exporter/folder_rules.hpp"
#include "model/weight_source.hpp"

namespace autoround::exporter {
namespace {

constexpr const char* kConfigFile = "quantization_config.json";

void check_announced(const ExportPlan& plan, const quant::QuantizedWeight& weight) {
  const auto planned = plan.formats.find(weight.name);
  if (planned == plan.formats.end()) fail(Code::internal, weight.name, "the plan does not quantize this module");
  const quant::WeightFormat& format = planned->second;
  const quant::WeightFormat& given = weight.format;
  if (!same_scheme(given, format) || weight.scales.scalar_type() != format.scale_type ||
      weight.zero_points.defined() == format.symmetric) {
    fail(Code::internal, weight.name, "the quantized weight has another format than the plan announced");
  }
}

// A loader computes with whatever it finds: NaN spreads, and a zero scale erases its group in silence. Powers of two
// cannot be either; an NVFP4 group far below the largest of its tensor rightly rounds to zero.
void check_scales(const quant::QuantizedWeight& weight) {
  if (quant::has_power_scales(weight.format.number)) return;
  const at::Tensor scales = weight.scales.to(at::kFloat);
  at::Tensor bad = at::isfinite(scales).logical_not();
  if (weight.format.number != quant::Number::nvfp4) bad = at::logical_or(bad, scales == 0);
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

FolderPlan FolderFormat::plan_tensors(const ExportPlan& plan) const {
  return plan_folder(plan,
                     [&](const auto& module, const auto& format) { return layout_->tensors(plan, module, format); });
}

std::uint64_t FolderFormat::disk_bytes(const ExportPlan& plan) const {
  const Json config = layout_->quantization_config(plan);
  const std::uint64_t own_file = layout_->config_has_own_file() ? config.dump(2).size() + 1 : 0;
  return folder_bytes(plan, plan_tensors(plan), config_text(plan, config, layout_->compute_dtype(plan))) + own_file;
}

void FolderFormat::begin(const ExportPlan& plan, const std::string& directory) {
  if (is_inside(directory, plan.checkpoint.directory())) {
    fail(Code::invalid_argument, directory, "the output would be written into the checkpoint's own folder");
  }
  FolderPlan folder = plan_tensors(plan);
  plan_ = &plan;
  directory_ = directory;
  writer_ = std::make_unique<checkpoint::ShardWriter>(directory, std::move(folder.tensors), max_shard_bytes_);
  copy_tensors(plan.checkpoint, folder.copies, *writer_);
}

std::vector<WrittenTensor> FolderFormat::write(const quant::QuantizedWeight& weight) {
  check_announced(*plan_, weight);
  check_scales(weight);
  const std::vector<checkpoint::TensorInfo> infos = tensors_of(weight.name);
  const std::vector<at::Tensor> tensors = layout_->pack(*plan_, weight);
  Expects(infos.size() == tensors.size());
  std::vector<WrittenTensor> written;
  for (std::size_t i = 0; i < infos.size(); ++i) written.push_back(write_tensor(*writer_, infos[i].name, tensors[i]));
  return written;
}

const recipe::ModuleInfo& FolderFormat::module_of(const std::string& name) const {
  const auto found = std::find_if(plan_->modules.begin(), plan_->modules.end(),
                                  [&](const recipe::ModuleInfo& info) { return info.name == name; });
  if (found == plan_->modules.end()) fail(Code::internal, name, "the plan has no such module");
  return *found;
}

std::vector<checkpoint::TensorInfo> FolderFormat::tensors_of(const std::string& module) const {
  const auto format = plan_->formats.find(module);
  if (format == plan_->formats.end()) return {};
  return layout_->tensors(*plan_, module_of(module), format->second);
}

std::string FolderFormat::damage(const std::string& module, const std::vector<WrittenTensor>& tensors) const {
  if (!layout_->keeps_codes()) return "this format does not keep what a later run would go on from";
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

void FolderFormat::keep(const std::string& module) {
  for (const checkpoint::TensorInfo& info : tensors_of(module)) writer_->keep(info.name);
}

quant::QuantizedWeight FolderFormat::read(const std::string& module) const {
  std::vector<at::Tensor> stored;
  for (const checkpoint::TensorInfo& info : tensors_of(module)) stored.push_back(read_tensor(*writer_, info));
  return layout_->unpack(*plan_, module_of(module), plan_->formats.at(module), stored);
}

void FolderFormat::finish() {
  copy_companions(plan_->checkpoint, directory_);
  write_text_file(join_path(directory_, "recipe.yaml"), plan_->recipe.dump(recipe::Syntax::yaml));
  writer_->finish();
  const Json config = layout_->quantization_config(*plan_);
  if (layout_->config_has_own_file()) write_text_file(join_path(directory_, kConfigFile), config.dump(2) + "\n");
  write_text_file(join_path(directory_, "config.json"), config_text(*plan_, config, layout_->compute_dtype(*plan_)));
}

}  // namespace autoround::exporter
