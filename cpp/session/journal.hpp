// The record of a run that is under way, beside the files that it writes: one line for each finished block, with what
// is needed to find its tensors again. A line begins with the hash of the rest, so that one that was torn is seen, and
// what comes after it is not believed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.hpp"
#include "exporter/exporter.hpp"
#include "session/block_stats.hpp"
#include "session/fingerprint.hpp"

namespace autoround::session {

struct FinishedModule {
  std::string name;
  std::vector<exporter::WrittenTensor> tensors;
};

struct FinishedBlock {
  BlockStats stats;
  std::vector<FinishedModule> modules;
};

class Journal {
 public:
  static constexpr const char* file_name = StagingDirectory::record_name;  // hidden: no file of a checkpoint is

  /// Reads what an earlier run left in `directory`. @throws Error io; parse: a whole line that makes no sense
  explicit Journal(const std::string& directory);

  const Fingerprint& fingerprint() const noexcept { return fingerprint_; }       // of the run that wrote it
  const std::vector<FinishedBlock>& blocks() const noexcept { return blocks_; }  // 0, 1, 2 ... without gaps

  /// Starts over. @throws Error io
  void begin(const Fingerprint& fingerprint);
  /// Forgets the blocks from `count` on, and what was torn. @throws Error io
  void cut(std::size_t count);
  /// Adds the next block; when this returns it survives a power cut. After begin or cut. @throws Error io
  void append(FinishedBlock block);

 private:
  void write_line(const Json& json);

  std::string path_;
  Fingerprint fingerprint_;
  std::vector<FinishedBlock> blocks_;
  std::vector<std::uint64_t> ends_;  // where the line of the fingerprint and those of the blocks end
  std::optional<OutputFile> file_;
};

}  // namespace autoround::session
