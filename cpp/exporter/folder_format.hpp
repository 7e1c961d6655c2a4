// An output that is a Hugging Face folder: safetensors shards in the checkpoint's order, written layer by layer, with
// config.json and the checkpoint's other files. How a weight is stored is the layout's.
#pragma once

#include <memory>
#include <string>

#include "checkpoint/shard_writer.hpp"
#include "exporter/exporter.hpp"
#include "exporter/folder_output.hpp"
#include "exporter/layout.hpp"

namespace autoround::exporter {

class FolderFormat final : public Exporter {
 public:
  explicit FolderFormat(std::unique_ptr<const Layout> layout,
                        std::uint64_t max_shard_bytes = checkpoint::ShardWriter::default_shard_bytes)
      : layout_(std::move(layout)), max_shard_bytes_(max_shard_bytes) {}

  void check(const ExportPlan& plan) const override { layout_->check(plan); }
  std::uint64_t disk_bytes(const ExportPlan& plan) const override;
  void begin(const ExportPlan& plan, const std::string& directory) override;
  std::vector<std::string> files() const override;
  /// @throws Error numeric: a scale is NaN, infinite or zero. internal: not what the plan announced.
  std::vector<WrittenTensor> write(const quant::QuantizedWeight& weight) override;
  std::vector<WrittenTensor> write_cache(const quant::CacheScales& cache) override;
  void sync() override { writer_->sync(); }
  std::string damage(const std::string& module, const std::vector<WrittenTensor>& tensors) const override;
  void keep(const std::string& module) override;
  quant::QuantizedWeight read(const std::string& module) const override;
  void finish() override;

 private:
  FolderPlan plan_tensors(const ExportPlan& plan) const;
  const recipe::ModuleInfo& module_of(const std::string& name) const;
  std::vector<checkpoint::TensorInfo> tensors_of(const std::string& module) const;

  std::unique_ptr<const Layout> layout_;
  std::uint64_t max_shard_bytes_;
  const ExportPlan* plan_ = nullptr;
  std::string directory_;
  std::unique_ptr<checkpoint::ShardWriter> writer_;
};

}  // namespace autoround::exporter
