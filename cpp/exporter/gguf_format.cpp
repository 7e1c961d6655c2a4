#include "exporter/gguf_format.hpp"

#include <ATen/ATen.h>

#include "base/error.hpp"
#include "base/file.hpp"
#include "checkpoint/shard_writer.hpp"
#include "exporter/folder_output.hpp"
#include "exporter/gguf_plan.hpp"
#include "exporter/gguf_types.hpp"
#include "exporter/written_tensors.hpp"
#include "model/stacked_experts.hpp"
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
  weight.super.scale_factors = in_order(weight.super.scale_factors, rows);
  weight.super.minima = in_order(weight.super.minima, rows);
  weight.super.minimum_factors = in_order(weight.super.minimum_factors, rows);
  return weight;
}

bool reorders(const GgufRows& rows) { return rows.order != GgufRows::Order::kept; }

/// An entry of the plan and its place in the file, with the zeros that follow.
struct PlacedEntry {
  GgufEntry entry;
  checkpoint::TensorInfo place;

  std::uint64_t zeros() const { return place.byte_size() - entry.tensor.byte_size(); }
};

void copy(const ExportPlan& plan, const PlacedEntry& placed, checkpoint::ShardWriter& to) {
  const checkpoint::Checkpoint& from = plan.checkpoint;
  const GgufEntry& entry = placed.entry;
  const checkpoint::TensorInfo* source = from.find(entry.source);
  const bool is_same = source != nullptr && source->byte_size() == entry.tensor.byte_size() && entry.added == 0.0;
  if (is_same && !reorders(entry.rows)) {
    copy_tensors(plan, {{entry.source, placed.place.name}}, to);
    to.write(placed.place.name, entry.tensor.byte_size(), std::vector<std::byte>(placed.zeros()));
    return;
  }
  at::Tensor tensor = model::read_stored(from, entry.source);
  if (reorders(entry.rows)) tensor = in_order(tensor, entry.rows.sources(tensor.size(0)));
  if (entry.tensor.type == &gguf::f32) tensor = tensor.to(at::kFloat).add(entry.added);
  write_tensor(to, placed.place.name, tensor, placed.zeros());
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
    for (const PlacedEntry* placed : entries_of(module)) writer_->keep(placed->place.name);
  }
  quant::QuantizedWeight read(const std::string& module) const override;
  void finish() override;

 private:
  std::vector<const PlacedEntry*> entries_of(const std::string& module) const;

  const ExportPlan* plan_ = nullptr;
  std::string directory_;
  std::vector<PlacedEntry> entries_;
  std::unique_ptr<checkpoint::ShardWriter> writer_;
};

void GgufFormat::begin(const ExportPlan& plan, const std::string& directory) {
  check_directory(plan, directory);
  plan_ = &plan;
  directory_ = directory;
  GgufPlan gguf = plan_gguf(plan);
  for (const std::string& note : gguf.notes) plan.log.warn("gguf: " + note);
  checkpoint::ShardLayout layout = gguf.layout();
  for (std::size_t i = 0; i < gguf.entries.size(); ++i)
    entries_.push_back({std::move(gguf.entries[i]), layout.tensors[i].info});
  writer_ = std::make_unique<checkpoint::ShardWriter>(directory, std::vector{std::move(layout)});
  for (const PlacedEntry& placed : entries_) {
    if (!placed.entry.source.empty()) copy(plan, placed, *writer_);
    if (placed.entry.values.defined()) write_tensor(*writer_, placed.place.name, placed.entry.values, placed.zeros());
  }
}

std::vector<const PlacedEntry*> GgufFormat::entries_of(const std::string& module) const {
  std::vector<const PlacedEntry*> entries;
  for (const PlacedEntry& placed : entries_)
    if (placed.entry.module == module) entries.push_back(&placed);
  return entries;
}

std::vector<WrittenTensor> GgufFormat::write(const quant::QuantizedWeight& weight) {
  check_announced(*plan_, weight);
  check_scales(weight);
  std::vector<WrittenTensor> written;
  const auto add = [&](const PlacedEntry& placed, const at::Tensor& tensor) {
    written.push_back(write_tensor(*writer_, placed.place.name, tensor, placed.zeros()));
  };
  const std::vector<const PlacedEntry*> entries = entries_of(weight.name);
  const GgufEntry& first = entries.at(0)->entry;
  const bool reordered = reorders(first.rows);
  add(*entries[0],
      pack_blocks(reordered ? in_order(weight, first.rows.sources(weight.codes.size(0))) : weight, *first.tensor.type));
  // Readers multiply with what compressed-tensors divides by.
  if (entries.size() > 1) add(*entries[1], weight.global_scale.reciprocal());
  if (entries.size() > 2) add(*entries[2], weight.input.global_scale.reciprocal());
  return written;
}

std::string GgufFormat::damage(const std::string& module, const std::vector<WrittenTensor>& tensors) const {
  std::vector<checkpoint::TensorInfo> wanted;
  for (const PlacedEntry* placed : entries_of(module)) wanted.push_back(placed->place);
  if (wanted.size() > 1) return "NVFP4 in GGUF does not keep the scale of " + module + " as it was tuned";
  return damage_of(*writer_, module, wanted, tensors);
}

quant::QuantizedWeight GgufFormat::read(const std::string& module) const {
  const auto& [entry, place] = *entries_of(module).at(0);
  at::Tensor bytes = at::empty(place.shape, at::kByte);
  writer_->read(place.name, 0, model::bytes_of(bytes));
  const std::int64_t rows = entry.tensor.shape.at(0), size = static_cast<std::int64_t>(entry.tensor.byte_size());
  quant::QuantizedWeight weight = unpack_blocks(module, plan_->formats.at(module), *entry.tensor.type,
                                                bytes.narrow(0, 0, size).view({rows, size / rows}));
  return reorders(entry.rows) ? in_order(std::move(weight), entry.rows.sources(rows).argsort()) : weight;
}

void GgufFormat::finish() {
  write_text_file(join_path(directory_, "recipe.yaml"), plan_->recipe.dump(recipe::Syntax::yaml));
  writer_->finish();
}

}  // namespace

std::unique_ptr<Exporter> gguf_format() { return std::make_unique<GgufFormat>(); }

}  // namespace autoround::exporter
