// The output folders of one run: an exporter and a staging folder each. They appear together at the end, or not at all.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/file.hpp"
#include "exporter/exporter.hpp"
#include "session/options.hpp"

namespace autoround::session {

class Outputs {
 public:
  /// Refuses what cannot work before anything is loaded: unknown format, a directory that is or lies in the model's,
  /// a format that cannot hold the plan, a disk too small. Creates nothing.
  Outputs(const std::vector<Options::Output>& outputs, const exporter::ExportPlan& plan);

  bool empty() const noexcept { return targets_.empty(); }
  std::uint64_t disk_bytes() const noexcept { return disk_bytes_; }
  void begin(const exporter::ExportPlan& plan);
  void write(const quant::QuantizedWeight& weight);
  void finish();  // makes every folder visible

 private:
  struct Target {
    std::string directory;
    std::unique_ptr<exporter::Exporter> exporter;
    std::unique_ptr<StagingDirectory> staging;
  };
  std::vector<Target> targets_;
  std::uint64_t disk_bytes_ = 0;
};

}  // namespace autoround::session
