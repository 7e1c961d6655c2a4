// Files as this library needs them: bounded reads of untrusted files through one descriptor, and writes that appear
// whole or not at all. POSIX calls only; LibTorch exports its own copy of std::filesystem's functions. A path is bytes:
// nothing here asks for UTF-8, and a NUL byte in a path is invalid_argument everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <gsl/span>
#include <string>
#include <string_view>
#include <vector>

#include "base/descriptor.hpp"
#include "base/log.hpp"

namespace autoround {

/// A regular file opened once for reading; all reads go to this descriptor, so a swapped path changes nothing.
class InputFile {
 public:
  /// @throws Error not_found: absent. io: unreadable, a directory, FIFO or device (never blocks).
  static InputFile open(const std::string& path);
  /// As open(), and io when the last component of `path` is a symbolic link.
  static InputFile open_no_follow(const std::string& path);

  const std::string& path() const noexcept { return path_; }
  std::uint64_t size() const noexcept { return size_; }
  std::uint64_t hard_links() const noexcept { return hard_links_; }
  std::int64_t modified() const noexcept { return modified_; }  // when it was opened; nanoseconds since 1970
  /// Fills `out` from `offset`. @throws Error io: short read (the file shrank) or a read error.
  void read(std::uint64_t offset, gsl::span<std::byte> out) const;
  /// Asks the system to have these bytes in its cache soon. Returns at once and may do nothing.
  void will_need(std::uint64_t offset, std::uint64_t bytes) const noexcept;

 private:
  InputFile(std::string path, Descriptor descriptor);
  std::string path_;
  Descriptor descriptor_;
  std::uint64_t size_ = 0;
  std::uint64_t hard_links_ = 0;
  std::int64_t modified_ = 0;
};

/// Whole text of a file of at most `limit` bytes. @throws as InputFile::open; parse: larger than the limit.
std::string read_text_file(const std::string& path, std::uint64_t limit);
std::string read_text_file(const InputFile& file, std::uint64_t limit);

/// A file being written inside a staging directory: preallocated, positioned writes, fsynced by close().
class OutputFile {
 public:
  /// Creates the file (it must not exist) and reserves `reserve` bytes, all zero, so that a full disk shows now. The
  /// file is never shorter than that: give the final size when it is known, else 0. @throws Error io, not_found (no
  /// parent)
  static OutputFile create(const std::string& path, std::uint64_t reserve);
  /// The same for a file that may be there already: what it holds of the first `size` bytes is kept, what is missing is
  /// zero, what is too much is cut off. @throws Error io, also when it is no regular file; not_found (no parent)
  static OutputFile open(const std::string& path, std::uint64_t size);

  const std::string& path() const noexcept { return path_; }
  /// Thread-safe for ranges that do not overlap. @throws Error io
  void write(std::uint64_t offset, gsl::span<const std::byte> bytes);
  /// Fills `out` from `offset` with what was written there. @throws Error io
  void read(std::uint64_t offset, gsl::span<std::byte> out) const;
  /// What was written so far survives a power cut. @throws Error io
  void sync();
  /// fsync and close; errors are reported here, not by the destructor. @throws Error io
  void close();

 private:
  OutputFile(std::string path, Descriptor descriptor) : path_(std::move(path)), descriptor_(std::move(descriptor)) {}
  std::string path_;
  Descriptor descriptor_;
};

/// What becomes of the staging directory of an earlier run that was killed. Its lock is free, so nobody is writing it.
enum class Unfinished { remove, take_over };

/// A hidden sibling of `target` that becomes `target` on commit(), or vanishes with its contents on destruction.
class StagingDirectory {
 public:
  /// Creates parents as needed. Takes a lock that a second writer of the same target runs into. Says in the log what it
  /// removes; of several directories to take over the one that was last changed is taken.
  /// @throws Error invalid_argument: target exists and is not an empty directory, or is a mount point, which nothing
  /// can be renamed onto. invalid_state: another run writes it. io.
  explicit StagingDirectory(const std::string& target, Unfinished unfinished = Unfinished::remove,
                            const Logger& log = {});
  StagingDirectory(const StagingDirectory&) = delete;
  StagingDirectory& operator=(const StagingDirectory&) = delete;
  ~StagingDirectory();

  const std::string& path() const noexcept { return staging_; }
  const std::string& target() const noexcept { return target_; }  // absolute, symlinks resolved
  /// Whether destruction leaves the directory for a run that takes it over. Holds from the start for one that was taken
  /// over itself: whatever goes wrong, what is in it is not lost.
  void keep(bool keeps) noexcept { keep_ = keeps; }
  bool keeps() const noexcept { return keep_; }
  /// The file in the directory that says how far the run is, which is no part of the result. Whoever takes the
  /// directory over finds it there, whenever the run ended before the result was at its target.
  static constexpr const char* record_name = ".autoround.journal";
  /// Removes everything but the entries called `names`. @throws Error io
  void remove_others(const std::vector<std::string>& names);
  /// Fsyncs the folder and those in it, renames it onto target, fsyncs the parent, removes the record. An empty
  /// directory that was at target gives its owner and its mode to what comes in its place. @throws Error io
  void commit();

 private:
  std::string target_;
  std::string parent_;
  std::string staging_;
  std::string lock_path_;
  std::string record_aside_;  // where the record is while the directory is renamed
  Descriptor lock_;
  bool keep_ = false;
  bool committed_ = false;
};

/// The folder of the staging directory for `target`, which need not be there: where a link leads, that is beside it.
std::string staging_parent(const std::string& target);
/// Bytes on disk of the staging directories that runs which were killed left for `target`. A run gets them back, but
/// for those of other users, which it cannot read.
std::uint64_t unfinished_bytes(const std::string& target);

struct DirectoryEntry {
  std::string name;
  bool regular = false;    // after following symlinks
  bool directory = false;  // after following symlinks
  std::uint64_t size = 0;
};
/// Sorted by name; without "." and "..". A dangling symlink is neither regular nor directory. @throws Error not_found,
/// io
std::vector<DirectoryEntry> list_directory(const std::string& path);
void create_directories(const std::string& path);                      // like mkdir -p. @throws Error io
void copy_file(const std::string& from, const std::string& to);        // regular files, fsynced; over one that is there
void write_text_file(const std::string& path, std::string_view text);  // new file, fsynced
std::uint64_t free_disk_bytes(const std::string& path);                // of the nearest existing parent
std::uint64_t disk_of(const std::string& path);                        // the same for two paths on one disk
/// True when `path` is `directory` or lies inside it, symlinks resolved; neither has to exist yet. Existing ones are
/// compared by inode, so bind mounts and differently spelled paths are seen through. @throws Error io
bool is_inside(const std::string& path, const std::string& directory);
std::string canonical_path(const std::string& path);  // @throws not_found
std::string join_path(std::string_view directory, std::string_view name);
std::string parent_path(std::string_view path);  // "a/b/" -> "a", "a" -> ".", "/a" -> "/"
std::string file_name(std::string_view path);    // "a/b/" -> "b", "/" -> ""

}  // namespace autoround
