#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "base/file.hpp"
#include "base/text.hpp"

namespace autoround {
namespace {

constexpr std::size_t copy_chunk = std::size_t{1} << 20;
constexpr std::uint64_t largest_file = std::numeric_limits<off_t>::max();

}  // namespace

OutputFile OutputFile::create(const std::string& path, std::uint64_t reserve) {
  require_plain_path(path);
  Descriptor descriptor = open_descriptor(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
  if (!descriptor.valid()) fail_errno(path, "create the file", errno);
  if (const int error = reserve_space(descriptor.get(), reserve); error != 0) {
    ::unlink(path.c_str());
    fail_errno(path, "reserve " + format_bytes(reserve) + " on disk", error);
  }
  return OutputFile(path, std::move(descriptor));
}

OutputFile OutputFile::open(const std::string& path, std::uint64_t size) {
  require_plain_path(path);
  Descriptor descriptor = open_descriptor(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  if (!descriptor.valid() && errno == ENOENT) return create(path, size);
  if (!descriptor.valid()) fail_errno(path, "open the file for writing", errno);
  struct stat status{};
  if (::fstat(descriptor.get(), &status) != 0) fail_errno(path, "examine the file", errno);
  if (!S_ISREG(status.st_mode)) fail(Code::io, path, "is no regular file");
  if (size > largest_file) fail_errno(path, "make the file so large", EFBIG);
  if (uninterrupted([&] { return ::ftruncate(descriptor.get(), static_cast<off_t>(size)); }) != 0)
    fail_errno(path, "set the size of the file", errno);
  if (const int error = reserve_space(descriptor.get(), size); error != 0)
    fail_errno(path, "reserve " + format_bytes(size) + " on disk", error);
  return OutputFile(path, std::move(descriptor));
}

void OutputFile::write(std::uint64_t offset, gsl::span<const std::byte> bytes) {
  if (!descriptor_.valid()) fail(Code::internal, path_, "a write after the file was closed");
  if (bytes.size() > largest_file || offset > largest_file - bytes.size())
    fail_errno(path_, "write so far into the file", EFBIG);
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto at = static_cast<off_t>(offset + done);
    const ssize_t count =
        uninterrupted([&] { return ::pwrite(descriptor_.get(), bytes.data() + done, bytes.size() - done, at); });
    if (count <= 0)
      fail_errno(path_, "write " + std::to_string(bytes.size()) + " bytes at offset " + std::to_string(offset),
                 count == 0 ? ENOSPC : errno);
    done += static_cast<std::size_t>(count);
  }
}

void OutputFile::read(std::uint64_t offset, gsl::span<std::byte> out) const {
  std::size_t done = 0;
  while (done < out.size()) {
    const auto at = static_cast<off_t>(offset + done);
    const ssize_t count =
        uninterrupted([&] { return ::pread(descriptor_.get(), out.data() + done, out.size() - done, at); });
    if (count == 0)
      fail(Code::io, path_,
           "the file ends at offset " + std::to_string(at) + "; it was cut short while it was written");
    if (count < 0)
      fail_errno(path_, "read " + std::to_string(out.size()) + " bytes at offset " + std::to_string(offset), errno);
    done += static_cast<std::size_t>(count);
  }
}

void OutputFile::sync() {
  if (uninterrupted([&] { return ::fdatasync(descriptor_.get()); }) != 0)
    fail_errno(path_, "write the file through to disk", errno);
}

void OutputFile::close() {
  if (!descriptor_.valid()) fail(Code::internal, path_, "the file was closed twice");
  if (uninterrupted([&] { return ::fsync(descriptor_.get()); }) != 0)
    fail_errno(path_, "write the file through to disk", errno);
  if (const int error = descriptor_.reset(); error != 0) fail_errno(path_, "close the file", error);
}

void copy_file(const std::string& from, const std::string& to) {
  const InputFile input = InputFile::open(from);
  OutputFile output = OutputFile::open(to, input.size());
  std::vector<std::byte> buffer(std::min<std::uint64_t>(copy_chunk, input.size()));
  for (std::uint64_t offset = 0; offset < input.size();) {
    const auto count = std::min<std::uint64_t>(buffer.size(), input.size() - offset);
    const gsl::span<std::byte> chunk(buffer.data(), static_cast<std::size_t>(count));
    input.read(offset, chunk);
    output.write(offset, chunk);
    offset += count;
  }
  output.close();
}

void write_text_file(const std::string& path, std::string_view text) {
  OutputFile output = OutputFile::create(path, text.size());
  output.write(0, gsl::as_bytes(gsl::span<const char>(text.data(), text.size())));
  output.close();
}

}  // namespace autoround
