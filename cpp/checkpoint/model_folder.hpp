// A model folder seen through the rule for paths: what is opened lies in the folder itself, or in the blob store of the
// Hugging Face cache that the folder is a snapshot of.
#pragma once

#include <string>
#include <vector>

#include "base/file.hpp"

namespace autoround::checkpoint {

class ModelFolder {
 public:
  /// @param strict no symbolic links, and no files with a second hard link.
  /// @throws Error not_found, io (not a directory, unreadable)
  ModelFolder(const std::string& directory, bool strict);

  const std::string& path() const noexcept { return path_; }                        // as it was given
  const std::string& real_path() const noexcept { return real_path_; }              // absolute, without links
  const std::vector<DirectoryEntry>& entries() const noexcept { return entries_; }  // sorted by name
  bool contains(std::string_view name) const;
  std::string path_of(const std::string& name) const { return join_path(path_, name); }

  /// Opens the file `name` of the folder. @throws Error parse: `name` is no plain file name, or leads out of the
  /// folder. not_found, io: as InputFile::open.
  InputFile open(const std::string& name) const;
  /// False when `name` leads out of the folder, or is a link although the folder is strict.
  bool admits(const std::string& name) const;

 private:
  std::string resolve(const std::string& name) const;

  std::string path_;
  std::string real_path_;
  std::string blobs_;  // real path of the cache's blob store; "" when the folder is no snapshot
  bool strict_;
  std::vector<DirectoryEntry> entries_;
};

/// @throws Error parse unless `name` is a plain file name: no separators, no control bytes, not "." or "..", <= 255
/// bytes.
void require_plain_file_name(const std::string& name, const std::string& subject);

}  // namespace autoround::checkpoint
