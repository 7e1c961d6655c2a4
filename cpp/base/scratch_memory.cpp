#include "base/scratch_memory.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/descriptor.hpp"
#include "base/file.hpp"
#include "base/text.hpp"

namespace autoround {
namespace {

// linux/magic.h does not have them all.
constexpr std::uint32_t btrfs = 0x9123683E, zfs = 0x2FC12FC1, bcachefs = 0xCA451A4E;

/// The kernel maps what is in its cache around a page that is touched, in aligned windows of this size.
constexpr std::uintptr_t fault_window = std::uintptr_t{64} << 10;

Descriptor nameless_file(const std::string& directory) {
  require_plain_path(directory);
  Descriptor file = open_descriptor(directory, O_TMPFILE | O_RDWR, 0600);
  if (file.valid() || (errno != EOPNOTSUPP && errno != EISDIR)) return file;
  std::string path = join_path(directory, ".autoround-XXXXXX");  // a file system that does not know such files
  Descriptor named(::mkostemp(path.data(), O_CLOEXEC));
  if (named.valid()) ::unlink(path.c_str());
  return named;
}

}  // namespace

ScratchMemory::ScratchMemory(const std::string& directory, std::size_t bytes) : size_(std::max<std::size_t>(bytes, 1)) {
  const Descriptor file = nameless_file(directory);
  if (!file.valid()) fail_errno(directory, "create a temporary file in " + directory, errno);
  if (const int error = reserve_space(file.get(), size_); error != 0)
    fail_errno(directory, "reserve " + format_bytes(size_) + " for a temporary file in " + directory, error);
  void* memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (memory == MAP_FAILED) fail_errno(directory, "map a temporary file in " + directory, errno);
  data_ = static_cast<std::byte*>(memory);
}

ScratchMemory::~ScratchMemory() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

bool ScratchMemory::contains(const void* address) const noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(address), begin = reinterpret_cast<std::uintptr_t>(data_);
  return at >= begin && at - begin < size_;
}

void ScratchMemory::evict(const void* first, std::size_t bytes) const noexcept {
  const auto own = reinterpret_cast<std::uintptr_t>(data_), own_end = own + size_;
  const auto at = reinterpret_cast<std::uintptr_t>(first);
  const auto begin = std::max(at / fault_window * fault_window, own);
  const auto end = std::min((at + bytes + fault_window - 1) / fault_window * fault_window, own_end);
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

Storage storage_of_type(std::uint32_t file_system) noexcept {
  switch (file_system) {
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
      return Storage::memory;
    case btrfs:
    case zfs:
    case bcachefs:
      return Storage::copy_on_write;
    default:
      return Storage::disk;
  }
}

Storage storage_of(const std::string& directory) {
  struct statfs status{};
  if (::statfs(directory.c_str(), &status) != 0) return Storage::disk;
  return storage_of_type(static_cast<std::uint32_t>(status.f_type));
}

std::string temporary_directory() {
  const char* named = std::getenv("TMPDIR");
  return named != nullptr && *named != '\0' ? named : "/var/tmp";
}

}  // namespace autoround
