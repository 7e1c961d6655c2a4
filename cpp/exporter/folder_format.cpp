#include "exporter/folder_format.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <gsl/assert>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/hash.hpp"
#include "exporter/written_tensors.hpp"
#include "model/stacked_experts.hpp"
#include "model/weight_source.hpp"

namespace autoround::exporter {
namespace {

constexpr const char* kConfigFile = "quantization_config.json";

at::Tensor read_tensor(const checkpoint::ShardWriter& writer, const checkpoint::TensorInfo& info) {
  at::Tensor tensor = at::empty(info.shape, model::torch_type(info.dtype));
  writer.read(info.name, 0, model::bytes_of(tensor));
  return tensor;
}

/// Over what was copied of the stack that it is a part of.
WrittenTensor write_part(checkpoint::ShardWriter& writer, const model::ExpertPart& part,
                         const checkpoint::TensorInfo& stack, const at::Tensor& values) {
  at::Tensor slice = at::empty(at::IntArrayRef(stack.shape).slice(1), model::torch_type(stack.dtype));
  const std::uint64_t offset = static_cast<std::uint64_t>(part.expert) * slice.nbytes();
  writer.read(stack.name, offset, model::bytes_of(slice));
  model::view_of_part(slice, part).copy_(values);
  const auto bytes = model::bytes_of(slice);
  writer.rewrite(stack.name, offset, bytes);
  Hasher hasher;
  hasher.add(bytes);
  return {part.name, bytes.size(), hasher.text()};
}

/// k_scale and v_scale of an attention module.
std::vector<checkpoint::TensorInfo> cache_tensors(const std::string& attention, const quant::CacheFormat& format) {
  const checkpoint::DType type = model::disk_type(format.scale_type);
  return {{attention + ".k_scale", type, format.scale_shape()}, {attention + ".v_scale", type, format.scale_shape()}};
}

}  // namespace

FolderPlan FolderFormat::plan_tensors(const ExportPlan& plan) const {
  const auto stored = [&](const auto& module, const auto& format) { return layout_->tensors(plan, module, format); };
  FolderPlan folder = plan_folder(plan, stored, layout_->keeps_stacks());
  for (const auto& [attention, format] : plan.caches)
    for (checkpoint::TensorInfo& info : cache_tensors(attention, format))
      folder.tensors.push_back({std::move(info), attention});
  return folder;
}

std::uint64_t FolderFormat::disk_bytes(const ExportPlan& plan) const {
  const Json config = layout_->quantization_config(plan);
  const std::uint64_t own_file = layout_->config_has_own_file() ? config.dump(2).size() + 1 : 0;
  return folder_bytes(plan, plan_tensors(plan), config_text(plan, config, layout_->compute_dtype(plan))) + own_file;
}

void FolderFormat::begin(const ExportPlan& plan, const std::string& directory) {
  check_directory(plan, directory);
  FolderPlan folder = plan_tensors(plan);
  plan_ = &plan;
  directory_ = directory;
  writer_ = std::make_unique<checkpoint::ShardWriter>(directory, std::move(folder.tensors), max_shard_bytes_);
  copy_companions(plan.checkpoint, directory_);
  copy_tensors(plan, folder.copies, *writer_);
}

std::vector<std::string> FolderFormat::files() const {
  std::vector<std::string> names = writer_->file_names();
  const auto& companions = plan_->checkpoint.companion_files();
  names.insert(names.end(), companions.begin(), companions.end());
  return names;
}

std::vector<WrittenTensor> FolderFormat::write(const quant::QuantizedWeight& weight) {
  check_announced(*plan_, weight);
  check_scales(weight);
  const std::vector<at::Tensor> tensors = layout_->pack(*plan_, weight);
  if (layout_->keeps_stacks())
    if (const auto part = model::find_expert_part(plan_->checkpoint, weight.name + ".weight"))
      return {write_part(*writer_, *part, *plan_->checkpoint.find(part->stack), tensors.at(0))};
  const std::vector<checkpoint::TensorInfo> infos = tensors_of(weight.name);
  Expects(infos.size() == tensors.size());
  std::vector<WrittenTensor> written;
  for (std::size_t i = 0; i < infos.size(); ++i) written.push_back(write_tensor(*writer_, infos[i].name, tensors[i]));
  return written;
}

std::vector<WrittenTensor> FolderFormat::write_cache(const quant::CacheScales& cache) {
  const std::vector<checkpoint::TensorInfo> infos = tensors_of(cache.attention);
  Expects(infos.size() == 2);
  return {write_tensor(*writer_, infos[0].name, cache.key), write_tensor(*writer_, infos[1].name, cache.value)};
}

const recipe::ModuleInfo& FolderFormat::module_of(const std::string& name) const {
  const auto found = std::find_if(plan_->modules.begin(), plan_->modules.end(),
                                  [&](const recipe::ModuleInfo& info) { return info.name == name; });
  if (found == plan_->modules.end()) fail(Code::internal, name, "the plan has no such module");
  return *found;
}

std::vector<checkpoint::TensorInfo> FolderFormat::tensors_of(const std::string& module) const {
  const auto cache = plan_->caches.find(module);
  if (cache != plan_->caches.end()) return cache_tensors(module, cache->second);
  const auto format = plan_->formats.find(module);
  if (format == plan_->formats.end()) return {};
  return layout_->tensors(*plan_, module_of(module), format->second);
}

std::string FolderFormat::damage(const std::string& module, const std::vector<WrittenTensor>& tensors) const {
  if (!layout_->keeps_codes()) return "this format does not keep what a later run would go on from";
  return damage_of(*writer_, module, tensors_of(module), tensors);
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
  write_text_file(join_path(directory_, "recipe.yaml"), plan_->recipe.dump(recipe::Syntax::yaml));
  writer_->finish();
  const Json config = layout_->quantization_config(*plan_);
  if (layout_->config_has_own_file()) write_text_file(join_path(directory_, kConfigFile), config.dump(2) + "\n");
  write_text_file(join_path(directory_, "config.json"), config_text(*plan_, config, layout_->compute_dtype(*plan_)));
}

}  // namespace autoround::exporter
