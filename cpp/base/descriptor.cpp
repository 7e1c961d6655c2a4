#include "base/descriptor.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <system_error>

namespace autoround {

int Descriptor::reset() noexcept {
  const int fd = release();
  if (fd < 0 || ::close(fd) == 0) return 0;
  return errno == EINTR ? 0 : errno;  // Linux has closed the descriptor when it reports EINTR
}

Descriptor open_descriptor(const std::string& path, int flags, mode_t mode) {
  Descriptor descriptor(uninterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); }));
  if (!descriptor.valid() || descriptor.get() > STDERR_FILENO) return descriptor;
  return Descriptor(::fcntl(descriptor.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
}

int reserve_space(int fd, std::uint64_t bytes) noexcept {
  if (bytes == 0) return 0;
  if (bytes > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) return EFBIG;
  int error = 0;
  do {
    error = ::posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  } while (error == EINTR);
  return error;
}

void fail_errno(const std::string& path, const std::string& action, int error) {
  Code code = Code::io;
  if (error == ENOENT || error == ENOTDIR) code = Code::not_found;
  if (error == ENOMEM) code = Code::out_of_memory;
  fail(code, path, "cannot " + action + ": " + std::generic_category().message(error));
}

void require_plain_path(const std::string& path) {
  const auto nul = path.find('\0');
  if (nul != std::string::npos) {
    fail(Code::invalid_argument, path.substr(0, nul), "the path holds a NUL byte at offset " + std::to_string(nul));
  }
}

}  // namespace autoround
