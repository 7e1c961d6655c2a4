#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <gsl/narrow>

#include "base/file.hpp"

namespace autoround {
namespace {

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

// O_NONBLOCK: opening a FIFO returns at once instead of waiting for a writer; it means nothing for a regular file.
Descriptor open_for_reading(const std::string& path, int extra_flags) {
  require_plain_path(path);
  Descriptor descriptor = open_descriptor(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | extra_flags);
  if (descriptor.valid()) return descriptor;
  if (errno == ENXIO) fail(Code::io, path, "is a socket or a device; a regular file is wanted");
  if (errno == ELOOP && extra_flags != 0) fail(Code::io, path, "is a symbolic link; a regular file is wanted");
  fail_errno(path, "open the file for reading", errno);
}

}  // namespace

InputFile::InputFile(std::string path, Descriptor descriptor)
    : path_(std::move(path)), descriptor_(std::move(descriptor)) {
  struct stat status{};
  if (::fstat(descriptor_.get(), &status) != 0) fail_errno(path_, "examine the file", errno);
  if (!S_ISREG(status.st_mode)) {
    fail(Code::io, path_, std::string("is ") + kind_of(status.st_mode) + "; a regular file is wanted");
  }
  size_ = gsl::narrow<std::uint64_t>(status.st_size);
  hard_links_ = status.st_nlink;
  modified_ = std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

InputFile InputFile::open(const std::string& path) { return InputFile(path, open_for_reading(path, 0)); }

InputFile InputFile::open_no_follow(const std::string& path) {
  return InputFile(path, open_for_reading(path, O_NOFOLLOW));
}

void InputFile::read(std::uint64_t offset, gsl::span<std::byte> out) const {
  if (offset > size_ || out.size() > size_ - offset) {
    fail(Code::io, path_,
         "a read of " + std::to_string(out.size()) + " bytes at offset " + std::to_string(offset) +
             " goes past the end; the file had " + std::to_string(size_) + " bytes when it was opened");
  }
  std::size_t done = 0;
  while (done < out.size()) {
    const auto at = gsl::narrow<off_t>(offset + done);
    const ssize_t count =
        uninterrupted([&] { return ::pread(descriptor_.get(), out.data() + done, out.size() - done, at); });
    if (count == 0)
      fail(Code::io, path_,
           "the file ended at offset " + std::to_string(at) + " although it had " + std::to_string(size_) +
               " bytes when it was opened; it was cut short meanwhile");
    if (count < 0)
      fail_errno(path_, "read " + std::to_string(out.size()) + " bytes at offset " + std::to_string(offset), errno);
    done += static_cast<std::size_t>(count);
  }
}

void InputFile::will_need(std::uint64_t offset, std::uint64_t bytes) const noexcept {
  ::posix_fadvise(descriptor_.get(), static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_WILLNEED);
}

std::string read_text_file(const InputFile& file, std::uint64_t limit) {
  if (file.size() > limit) {
    fail(Code::parse, file.path(),
         "the file has " + std::to_string(file.size()) + " bytes; the limit is " + std::to_string(limit));
  }
  std::string text(gsl::narrow<std::size_t>(file.size()), '\0');
  file.read(0, gsl::as_writable_bytes(gsl::make_span(text)));
  return text;
}

std::string read_text_file(const std::string& path, std::uint64_t limit) {
  return read_text_file(InputFile::open(path), limit);
}

}  // namespace autoround
