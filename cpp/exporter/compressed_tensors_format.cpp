#include "exporter/compressed_tensors_format.hpp"

#include <ATen/ATen.h>

#include "base/error.hpp"
#include "base/file.hpp"
#include "exporter/compressed_tensors_config.hpp"
#include "exporter/compressed_tensors_rules.hpp"
#include "exporter/folder_output.hpp"
#include "exporter/packed_module.hpp"
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

void write_tensor(checkpoint::ShardWriter& writer, const std::string& name, const at::Tensor& tensor) {
  const at::Tensor bytes = tensor.cpu().contiguous();
  writer.write(name, 0, {static_cast<const std::byte*>(bytes.const_data_ptr()), bytes.nbytes()});
}

// Packed along the rows; a single one is stored as the signed number that it stands for.
at::Tensor stored_zero_points(const quant::QuantizedWeight& weight) {
  const int bits = weight.format.bits;
  if (weight.format.group != 0) return quant::pack_columns(weight.zero_points, bits);
  return (weight.zero_points.to(at::kShort) - (1 << (bits - 1))).to(at::kChar).reshape({1});
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

void CompressedTensorsFormat::write(const quant::QuantizedWeight& weight) {
  check_announced(*plan_, weight);
  check_scales(weight);
  const PackedNames names(weight.name);
  const at::Tensor shape = at::tensor({weight.codes.size(0), weight.codes.size(1)}, at::kLong);
  write_tensor(*writer_, names.packed, quant::pack_rows(weight.codes, weight.format.bits));
  write_tensor(*writer_, names.scale, weight.scales);
  write_tensor(*writer_, names.shape, shape);
  if (!weight.format.symmetric) write_tensor(*writer_, names.zero_point, stored_zero_points(weight));
}

void CompressedTensorsFormat::finish() {
  copy_companions(plan_->checkpoint, directory_);
  write_text_file(join_path(directory_, "recipe.yaml"), plan_->recipe.dump(recipe::Syntax::yaml));
  writer_->finish();
  write_text_file(join_path(directory_, "config.json"), planned_config(*plan_));
}

}  // namespace autoround::exporter
