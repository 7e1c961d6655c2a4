#include "exporter/gguf_format.hpp"

#include <ATen/ATen.h>

#include "base/error.hpp"
#include "base/file.hpp"
#include "checkpoint/shard_writer.hpp"
#include "exporter/folder_output.hpp"
#include "exporter/gguf_architectures.hpp"
#include "exporter/gguf_plan.hpp"
#include "exporter/gguf_types.hpp"
#include "exporter/written_tensors.hpp"
#include "model/weight_source.hpp"

namespace autoround::exporter {
namespace {

at::Tensor in_order(const at::Tensor& tensor, const at::Tensor& rows) {
  return tensor.defined() && tensor.size(0) == rows.size(0) ? tensor.index_select(0, rows) : tensor;
}

/// The weight with its rows in another order; what serves all of them stays.
quant::QuantizedWeight in_order(quant::QuantizedWeight weight, const at::Tensor& rows) {
  weight.codes = in_order(weight.codes, rows);
  weight.scales = in_order(weight.scales, rows);
  weight.zero_points = in_order(weight.zero_points, rows);
  return weight;
}

at::Tensor rows_of(const GgufEntry& entry) { return gguf_paired_rows(entry.tensor.shape.at(0), entry.paired_heads); }

std::uint64_t zeros_after(const GgufEntry& entry) {
  return gguf_padded(entry.tensor.byte_size()) - entry.tensor.byte_size();
}

at::Tensor load(const checkpoint::Checkpoint& checkpoint, const std::string& name) {
  const checkpoint::TensorInfo& info = *checkpoint.find(name);
  at::Tensor tensor = at::empty(info.shape, model::torch_type(info.dtype));
  checkpoint.read(name, 0, {static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.nbytes()});
  return tensor;
}

void copy(const checkpoint::Checkpoint& from, const GgufEntry& entry, checkpoint::ShardWriter& to) {
  const std::uint64_t zeros = zeros_after(entry);
  if (entry.paired_heads == 0 && from.find(entry.source)->byte_size() == entry.tensor.byte_size()) {
    copy_tensors(from, {{entry.source, entry.tensor.name}}, to);
    to.write(entry.tensor.name, entry.tensor.byte_size(), std::vector<std::byte>(zeros));
    return;
  }
  at::Tensor tensor = load(from, entry.source);
  if (entry.paired_heads > 0) tensor = in_order(tensor, rows_of(entry));
  if (entry.tensor.type == &gguf::f32) tensor = tensor.to(at::kFloat);
  write_tensor(to, entry.tensor.name, tensor, zeros);
}

class GgufFormat final : public Exporter {
 public:
  void check(const ExportPlan& plan) const override { plan_gguf(plan); }
  std::uint64_t disk_bytes(const ExportPlan& plan) const override {
    return plan_gguf(plan).layout().file_bytes + plan.recipe.dump(recipe::Syntax::yaml).size();
  }
  void begin(const ExportPlan& plan, const std::string& directory) override;
  std::vector<std::string> files() const override { return writer_->file_names(); }
  std::vector<WrittenTensor> write(const quant::QuantizedWeight& weight) override;
  void sync() override { writer_->sync(); }
  std::string damage(const std::string& module, const std::vector<WrittenTensor>& tensors) const override;
  void keep(const std::string& module) override {
    for (const GgufEntry* entry : entries_of(module)) writer_->keep(entry->tensor.name);
  }
  quant::QuantizedWeight read(const std::string& module) const override;
  void finish() override;

 private:
  std::vector<const GgufEntry*> entries_of(const std::string& module) const;

  const ExportPlan* plan_ = nullptr;
  std::string directory_;
  std::vector<GgufEntry> entries_;
  std::unique_ptr<checkpoint::ShardWriter> writer_;
};

void GgufFormat::begin(const ExportPlan& plan, const std::string& directory) {
  check_directory(plan, directory);
  plan_ = &plan;
  directory_ = directory;
  GgufPlan gguf = plan_gguf(plan);
  for (const std::string& note : gguf.notes) plan.log.warn("gguf: " + note);
  writer_ = std::make_unique<checkpoint::ShardWriter>(directory, std::vector{gguf.layout()});
  entries_ = std::move(gguf.entries);
  for (const GgufEntry& entry : entries_) {
    if (!entry.source.empty()) copy(plan.checkpoint, entry, *writer_);
    if (entry.values.defined()) write_tensor(*writer_, entry.tensor.name, entry.values, zeros_after(entry));
  }
}

std::vector<const GgufEntry*> GgufFormat::entries_of(const std::string& module) const {
  std::vector<const GgufEntry*> entries;
  for (const GgufEntry& entry : entries_)
    if (entry.module == module) entries.push_back(&entry);
  return entries;
}

std::vector<WrittenTensor> GgufFormat::write(const quant::QuantizedWeight& weight) {
  check_announced(*plan_, weight);
  check_scales(weight);
  std::vector<WrittenTensor> written;
  const auto add = [&](const GgufEntry& entry, const at::Tensor& tensor) {
    written.push_back(write_tensor(*writer_, entry.tensor.name, tensor, zeros_after(entry)));
  };
  const std::vector<const GgufEntry*> entries = entries_of(weight.name);
  const GgufEntry& first = *entries.at(0);
  add(first, pack_blocks(first.paired_heads > 0 ? in_order(weight, rows_of(first)) : weight, *first.tensor.type));
  // Readers multiply with what compressed-tensors divides by.
  if (entries.size() > 1) add(*entries[1], weight.global_scale.reciprocal());
  if (entries.size() > 2) add(*entries[2], weight.input.global_scale.reciprocal());
  return written;
}

std::string GgufFormat::damage(const std::string& module, const std::vector<WrittenTensor>& tensors) const {
  std::vector<checkpoint::TensorInfo> wanted;
  for (const GgufEntry* entry : entries_of(module)) wanted.push_back(entry->place());
  if (wanted.size() > 1) return "NVFP4 in GGUF does not keep the scale of " + module + " as it was tuned";
  return damage_of(*writer_, module, wanted, tensors);
}

quant::QuantizedWeight GgufFormat::read(const std::string& module) const {
  const GgufEntry& entry = *entries_of(module).at(0);
  at::Tensor bytes = at::empty(entry.place().shape, at::kByte);
  writer_->read(entry.tensor.name, {static_cast<std::byte*>(bytes.mutable_data_ptr()), bytes.nbytes()});
  const std::int64_t rows = entry.tensor.shape.at(0), size = static_cast<std::int64_t>(entry.tensor.byte_size());
  quant::QuantizedWeight weight = unpack_blocks(module, plan_->formats.at(module), *entry.tensor.type,
                                                bytes.narrow(0, 0, size).view({rows, size / rows}));
  return entry.paired_heads > 0 ? in_order(std::move(weight), rows_of(entry).argsort()) : weight;
}

void GgufFormat::finish() {
  write_text_file(join_path(directory_, "recipe.yaml"), plan_->recipe.dump(recipe::Syntax::yaml));
  writer_->finish();
}

}  // namespace

std::unique_ptr<Exporter> gguf_format() { return std::make_unique<GgufFormat>(); }

}  // namespace autoround::exporter
