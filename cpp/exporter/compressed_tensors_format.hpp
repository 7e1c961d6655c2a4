// The default output: a folder in compressed-tensors' pack-quantized layout, read by vLLM and transformers unmodified.
// Integer weights of 2 to 8 bits, symmetric or not, with scales by group, row or tensor.
#pragma once

#include <memory>
#include <string>

#include "checkpoint/shard_writer.hpp"
#include "exporter/exporter.hpp"

namespace autoround::exporter {

class CompressedTensorsFormat final : public Exporter {
 public:
  explicit CompressedTensorsFormat(std::uint64_t max_shard_bytes = checkpoint::ShardWriter::default_shard_bytes)
      : max_shard_bytes_(max_shard_bytes) {}

  void check(const ExportPlan& plan) const override;
  std::uint64_t disk_bytes(const ExportPlan& plan) const override;
  void begin(const ExportPlan& plan, const std::string& directory) override;
  std::vector<std::string> files() const override { return writer_->file_names(); }
  /// @throws Error numeric: a scale is NaN, infinite or zero. internal: not what the plan announced.
  std::vector<WrittenTensor> write(const quant::QuantizedWeight& weight) override;
  void sync() override { writer_->sync(); }
  std::string damage(const std::string& module, const std::vector<WrittenTensor>& tensors) const override;
  void keep(const std::string& module) override;
  quant::QuantizedWeight read(const std::string& module) const override;
  void finish() override;

 private:
  std::vector<checkpoint::TensorInfo> tensors_of(const std::string& module) const;

  std::uint64_t max_shard_bytes_;
  const ExportPlan* plan_ = nullptr;
  std::string directory_;
  std::unique_ptr<checkpoint::ShardWriter> writer_;
};

}  // namespace autoround::exporter
