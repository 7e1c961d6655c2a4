// The output folders of one run: an exporter, a staging folder and a journal each. They appear together at the end, or
// not at all; what was finished by then may be left to a later run. docs/resume.md
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/background.hpp"
#include "base/cancel.hpp"
#include "base/file.hpp"
#include "exporter/exporter.hpp"
#include "session/journal.hpp"
#include "session/options.hpp"

namespace autoround::session {

class Outputs {
 public:
  /// Refuses what cannot work before anything is loaded: unknown format, a directory that is or lies in the model's,
  /// a format that cannot hold the plan, a disk too small. Creates nothing.
  Outputs(const std::vector<Options::Output>& outputs, const exporter::ExportPlan& plan);

  bool empty() const noexcept { return targets_.empty(); }
  std::uint64_t disk_bytes() const noexcept { return disk_bytes_; }
  /// Makes the staging folders. With `resume`, folders that an earlier run left are taken over with the blocks that all
  /// of them hold undamaged; everything else in them goes.
  /// @throws Error invalid_state: the earlier run had another fingerprint; nothing in its folder was touched. io,
  /// cancelled
  void begin(const exporter::ExportPlan& plan, const Fingerprint& fingerprint, bool resume, const Logger& log,
             const CancelToken& cancel);

  struct KeptBlock {
    BlockStats stats;
    std::vector<quant::QuantizedWeight> weights;
  };
  /// What an earlier run made of a block; nullopt: it is to be tuned. @throws Error io
  std::optional<KeptBlock> kept(std::size_t block) const;

  // Packed and written by a thread of its own, while the caller goes on. Errors of earlier calls come out of later
  // ones.
  void write(quant::QuantizedWeight weight);
  void write_cache(const quant::CacheScales& cache);
  /// What was written since the last call is that of the next block. @throws Error io
  void finish_block(const BlockStats& stats);

  /// When this returns the blocks that were finished, and the fact, are on disk. @throws Error io
  void settle();
  /// What begin() and settle() took.
  double seconds() const noexcept { return seconds_; }
  void finish();  // makes every folder visible
  /// Says what a run that does not finish leaves behind.
  void log_kept(const Logger& log);

 private:
  struct Target {
    std::string directory;
    std::unique_ptr<exporter::Exporter> exporter;
    std::uint64_t disk_bytes = 0;
    std::unique_ptr<StagingDirectory> staging;
    std::unique_ptr<Journal> journal;
    std::vector<FinishedModule> written;  // of the block that is being tuned
  };
  void check_disk(const std::string& directory) const;
  void open_staging(const Fingerprint& fingerprint, bool resume, const Logger& log);
  void in_background(std::function<void(Target&)> step);
  std::size_t undamaged_blocks(const exporter::ExportPlan& plan, const Logger& log, const CancelToken& cancel) const;

  const exporter::ExportPlan* plan_ = nullptr;  // after begin
  std::vector<Target> targets_;
  std::uint64_t disk_bytes_ = 0;
  double seconds_ = 0.0;
  bool resume_ = false;
  std::size_t kept_ = 0;  // blocks of an earlier run
  Background writer_;     // uses what is above, and ends first
};

}  // namespace autoround::session
