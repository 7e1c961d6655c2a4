// Memory whose contents are a file: pages that nobody touches need no place in the process, and come back by
// themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace autoround {

/// A private file without a name, mapped whole. The file is gone with the mapping, however the process ends.
class ScratchMemory {
 public:
  /// All zero. Its disk space is reserved here: a write to a mapping on a full disk would kill the process. No
  /// reservation holds where storage_of() says copy_on_write.
  /// @throws Error io (no space, not writable), not_found; the subject is `directory`
  ScratchMemory(const std::string& directory, std::size_t bytes);
  ScratchMemory(ScratchMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  ScratchMemory& operator=(ScratchMemory&&) = delete;
  ~ScratchMemory();

  std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  bool contains(const void* address) const noexcept;
  /// Takes the pages of these bytes, and a few around them, out of the process. What they hold stays.
  void evict(const void* first, std::size_t bytes) const noexcept;

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// What keeps files, as far as mapping them depends on it: in memory, as a tmpfs does; or by writing each block to a
/// new place (btrfs, ZFS, bcachefs), so that no space is reserved for what is written over.
enum class Storage { disk, memory, copy_on_write };
Storage storage_of_type(std::uint32_t file_system) noexcept;  // statfs(2): f_type
/// disk when it cannot be told.
Storage storage_of(const std::string& directory);
/// Where files go that belong to no output: $TMPDIR, else /var/tmp, which unlike /tmp is a disk by convention.
std::string temporary_directory();

}  // namespace autoround
