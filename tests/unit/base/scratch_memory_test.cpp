#include "base/scratch_memory.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/temporary_directory.hpp"

namespace autoround {
namespace {

using test::error_of;
using test::TemporaryDirectory;

constexpr std::size_t size = std::size_t{1} << 20;

/// Pages of the memory that have a place in this process: those without one fault when they are touched.
std::size_t mapped_pages(const ScratchMemory& memory) {
  std::FILE* maps = std::fopen("/proc/self/smaps", "re");
  REQUIRE(maps != nullptr);
  char line[512];
  bool own = false;
  unsigned long long begin = 0, end = 0, kilobytes = 0;
  while (std::fgets(line, sizeof line, maps)) {
    if (std::sscanf(line, "%llx-%llx ", &begin, &end) == 2)
      own = begin == reinterpret_cast<std::uintptr_t>(memory.data());
    else if (own && std::sscanf(line, "Rss: %llu kB", &kilobytes) == 1)
      break;
  }
  std::fclose(maps);
  return kilobytes / 4;
}

TEST_CASE("scratch memory: zeros, then what was written, in the process or not", "[base]") {
  const TemporaryDirectory dir;
  const ScratchMemory memory(dir.path(), size);
  CHECK(std::filesystem::is_empty(dir.path()));  // the file has no name
  const auto is_zero = [](std::byte b) { return b == std::byte{0}; };
  CHECK(std::all_of(memory.data(), memory.data() + size, is_zero));
  std::fill_n(memory.data(), size, std::byte{7});
  CHECK(mapped_pages(memory) == size / 4096);
  memory.evict(memory.data(), size / 2);
  CHECK(mapped_pages(memory) <= size / 2 / 4096);
  CHECK(mapped_pages(memory) >= size / 2 / 4096 - 16);
  memory.evict(memory.data() + size / 2 + 1, size / 2 - 1);  // of a page that is touched, all goes
  CHECK(mapped_pages(memory) == 0);
  CHECK(std::all_of(memory.data(), memory.data() + size, [](std::byte b) { return b == std::byte{7}; }));
  CHECK(memory.contains(memory.data() + size - 1));
  CHECK_FALSE(memory.contains(memory.data() + size));
}

TEST_CASE("scratch memory: what is around evicted bytes leaves with them", "[base]") {
  const TemporaryDirectory dir;
  const ScratchMemory memory(dir.path(), size);
  std::fill_n(memory.data(), size, std::byte{7});
  memory.evict(memory.data(), size);
  for (std::size_t i = 0; i < size; i += 8 * 4096) {  // a read maps its neighbours
    CHECK(memory.data()[i] == std::byte{7});
    memory.evict(memory.data() + i, 1);
  }
  CHECK(mapped_pages(memory) == 0);
}

TEST_CASE("scratch memory: a folder that cannot hold it is an error with its path", "[base]") {
  const TemporaryDirectory dir;
  const Error absent = error_of([&] { ScratchMemory(dir / "absent", size); });
  CHECK(absent.code() == Code::not_found);
  CHECK(absent.subject() == dir / "absent");
  CHECK(test::mentions(absent, "create a temporary file"));
  CHECK(error_of([&] { ScratchMemory(dir.write("file", ""), size); }).code() == Code::not_found);
  CHECK(error_of([] { ScratchMemory("/proc", size); }).subject() == "/proc");
}

TEST_CASE("scratch memory: space that is not there is missed at once", "[base]") {
  const TemporaryDirectory dir;
  struct rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small{size / 2, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const Error error = error_of([&] { ScratchMemory(dir.path(), size); });
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK(error.code() == Code::io);
  CHECK(error.subject() == dir.path());
  CHECK(test::says(error, "reserve 1.05 MB"));
}

TEST_CASE("scratch memory: where files without an output go", "[base]") {
  const char* named = std::getenv("TMPDIR");
  CHECK(temporary_directory() == (named != nullptr && *named != '\0' ? named : "/var/tmp"));
}

TEST_CASE("scratch memory: file systems whose files are no places on a disk", "[base]") {
  CHECK(storage_of("/no/such/folder") == Storage::disk);
  if (std::filesystem::is_directory("/dev/shm")) CHECK(storage_of("/dev/shm") == Storage::memory);
  CHECK(storage_of_type(0x01021994) == Storage::memory);         // tmpfs
  CHECK(storage_of_type(0x9123683E) == Storage::copy_on_write);  // btrfs
  CHECK(storage_of_type(0x2FC12FC1) == Storage::copy_on_write);  // ZFS
  CHECK(storage_of_type(0xCA451A4E) == Storage::copy_on_write);  // bcachefs
  CHECK(storage_of_type(0xEF53) == Storage::disk);               // ext4
}

}  // namespace
}  // namespace autoround
