// One POSIX file descriptor with an owner, and the sentence for an errno. Used by the file classes of this folder.
#pragma once

#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

#include "base/error.hpp"

namespace autoround {

/// Makes a system call, again as long as a signal of the host interrupts it. For those that give -1 and set errno.
template <typename Call>
auto uninterrupted(const Call& call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { reset(); }

  int get() const noexcept { return fd_; }
  bool valid() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }
  /// Closes now. @return 0, or the errno of close(2); the descriptor is gone either way.
  int reset() noexcept;

 private:
  int fd_ = -1;
};

/// open(2) with O_CLOEXEC, never as descriptor 0, 1 or 2: a host may have closed those, and whoever prints to them
/// would write into our file. Invalid with errno set on failure.
Descriptor open_descriptor(const std::string& path, int flags, mode_t mode = 0);

/// Makes a file at least `bytes` long, with blocks on disk that read back as zeros: a byte that nobody wrote can never
/// be old disk or memory contents. @return 0 or an errno
int reserve_space(int fd, std::uint64_t bytes) noexcept;

/// "cannot ACTION: No space left on device". ENOENT and ENOTDIR become not_found, ENOMEM out_of_memory, the rest io.
[[noreturn]] void fail_errno(const std::string& path, const std::string& action, int error);

/// @throws Error invalid_argument when `path` holds a NUL byte, which would silently name another file.
void require_plain_path(const std::string& path);

}  // namespace autoround
