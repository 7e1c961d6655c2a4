// Files as this library needs them: bounded reads of untrusted files through one descriptor, and writes that appear whole
// or not at all. POSIX calls only; LibTorch exports its own copy of std::filesystem's functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <gsl/span>
#include <string>
#include <string_view>
#include <vector>

namespace autoround {

/// A regular file opened once for reading; all reads go to this descriptor, so a swapped path changes nothing.
class InputFile {
 public:
  /// @throws Error not_found: absent. io: unreadable, a directory, FIFO or device (never blocks).
  static InputFile open(const std::string& path);
  InputFile(InputFile&&) noexcept;
  InputFile& operator=(InputFile&&) noexcept;
  ~InputFile();

  const std::string& path() const noexcept { return path_; }
  std::uint64_t size() const noexcept { return size_; }
  /// Fills `out` from `offset`. @throws Error io: short read (the file shrank) or a read error.
  void read(std::uint64_t offset, gsl::span<std::byte> out) const;

 private:
  InputFile(std::string path, int fd, std::uint64_t size) : path_(std::move(path)), fd_(fd), size_(size) {}
  std::string path_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

/// Whole text of a file of at most `limit` bytes. @throws as InputFile::open; parse: larger than the limit.
std::string read_text_file(const std::string& path, std::uint64_t limit);

/// A file being written inside a staging directory: preallocated, positioned writes, fsynced by close().
class OutputFile {
 public:
  /// Creates the file (it must not exist) and reserves `reserve` bytes so that a full disk shows now. @throws Error io
  static OutputFile create(const std::string& path, std::uint64_t reserve);
  OutputFile(OutputFile&&) noexcept;
  OutputFile& operator=(OutputFile&&) noexcept;
  ~OutputFile();

  void write(std::uint64_t offset, gsl::span<const std::byte> bytes);
  void close();  // fsync and close; errors are reported here

 private:
  OutputFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string path_;
  int fd_ = -1;
};

/// A hidden sibling of `target` that becomes `target` on commit(), or vanishes with its contents on destruction.
class StagingDirectory {
 public:
  /// Creates parents as needed. Takes a lock that a second writer of the same target runs into.
  /// @throws Error invalid_argument: target exists and is not an empty directory. invalid_state: another run writes it. io.
  explicit StagingDirectory(std::string target);
  StagingDirectory(const StagingDirectory&) = delete;
  StagingDirectory& operator=(const StagingDirectory&) = delete;
  ~StagingDirectory();

  const std::string& path() const noexcept { return staging_; }
  const std::string& target() const noexcept { return target_; }
  void commit();  // fsyncs the folder, renames it onto target, fsyncs the parent

 private:
  std::string target_;
  std::string staging_;
  int lock_fd_ = -1;
  bool committed_ = false;
};

struct DirectoryEntry {
  std::string name;
  bool regular = false;    // after following symlinks
  bool directory = false;  // after following symlinks
  std::uint64_t size = 0;
};
std::vector<DirectoryEntry> list_directory(const std::string& path);  // sorted by name; without "." and ".."
void copy_file(const std::string& from, const std::string& to);       // regular files, fsynced
void write_text_file(const std::string& path, std::string_view text); // new file, fsynced
std::uint64_t free_disk_bytes(const std::string& path);                // of the nearest existing parent
/// True when `path` (which may not exist yet) is `directory` or lies inside it, symlinks resolved.
bool is_inside(const std::string& path, const std::string& directory);
std::string canonical_path(const std::string& path);  // @throws not_found
std::string join_path(std::string_view directory, std::string_view name);

}  // namespace autoround
