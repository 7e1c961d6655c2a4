#include "base/file.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <vector>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/temporary_directory.hpp"

using namespace std::string_literals;

namespace autoround {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::mentions;
using test::TemporaryDirectory;

gsl::span<const std::byte> bytes_of(std::string_view text) {
  return gsl::as_bytes(gsl::span<const char>(text.data(), text.size()));
}

TEST_CASE("system calls: made again when a signal interrupts them, and then only", "[base]") {
  int calls = 0;
  const auto fails_with = [&](int error, int times) {
    calls = 0;
    return uninterrupted([&, error, times] {
      errno = error;
      return ++calls <= times ? ssize_t{-1} : ssize_t{7};
    });
  };
  CHECK(fails_with(EINTR, 3) == 7);
  CHECK(calls == 4);
  CHECK(fails_with(ENOSPC, 3) == -1);
  CHECK(errno == ENOSPC);
  CHECK(calls == 1);
}

TEST_CASE("input file: reads any part, and nothing past the end", "[base]") {
  const TemporaryDirectory dir;
  const InputFile file = InputFile::open(dir.write("f", "0123456789"));
  CHECK(file.size() == 10);
  std::string part(4, '\0');
  file.read(3, gsl::as_writable_bytes(gsl::make_span(part)));
  CHECK(part == "3456");
  file.read(10, {});
  for (const std::uint64_t offset : {7ull, 11ull, 1ull << 63, ~0ull, ~0ull - 3}) {
    const Error error = error_of([&] { file.read(offset, gsl::as_writable_bytes(gsl::make_span(part))); });
    CHECK(error.code() == Code::io);
    CHECK(mentions(error, dir / "f"));
    CHECK(mentions(error, std::to_string(offset)));
  }
}

TEST_CASE("input file: a file that shrinks is an error, not a crash", "[base]") {
  const TemporaryDirectory dir;
  const InputFile file = InputFile::open(dir.write("f", std::string(1000, 'x')));
  REQUIRE(::truncate((dir / "f").c_str(), 10) == 0);
  std::string part(100, '\0');
  const Error error = error_of([&] { file.read(0, gsl::as_writable_bytes(gsl::make_span(part))); });
  CHECK(error.code() == Code::io);
  CHECK(mentions(error, "ended at offset 10"));
}

TEST_CASE("input file: a path that is swapped changes nothing", "[base]") {
  const TemporaryDirectory dir;
  const InputFile file = InputFile::open(dir.write("f", "old!"));
  dir.write("g", "new!");
  fs::rename(dir / "g", dir / "f");
  std::string text(4, '\0');
  file.read(0, gsl::as_writable_bytes(gsl::make_span(text)));
  CHECK(text == "old!");
}

TEST_CASE("input file: what is no regular file is refused without waiting", "[base]") {
  const TemporaryDirectory dir;
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  fs::create_symlink("/dev/zero", dir / "zero");
  fs::create_symlink("loop", dir / "loop");
  const int server = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{AF_UNIX, {}};
  (dir / "socket").copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(::bind(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);

  for (const auto& [name, code, mention] : std::initializer_list<std::tuple<std::string, Code, std::string>>{
           {dir.path(), Code::io, "a directory"},
           {dir / "fifo", Code::io, "a FIFO"},
           {dir / "zero", Code::io, "a device"},
           {dir / "socket", Code::io, "regular file is wanted"},
           {dir / "loop", Code::io, "symbolic links"},
           {dir / "absent", Code::not_found, "No such file"},
           {dir / "absent/x", Code::not_found, "No such file"},
           {""s, Code::not_found, "No such file"},
           {dir / std::string(5000, 'x'), Code::io, "too long"},
           {(dir / "a\0b"s), Code::invalid_argument, "NUL"}}) {
    CAPTURE(name);
    const Error error = error_of([&, path = name] { InputFile::open(path); });
    CHECK(error.code() == code);
    CHECK(mentions(error, mention));
  }
  ::close(server);
}

TEST_CASE("input file: an unreadable file is io", "[base]") {
  if (::geteuid() == 0) {
    WARN("skipped: root reads everything");
    return;
  }
  const TemporaryDirectory dir;
  const std::string path = dir.write("f", "x");
  REQUIRE(::chmod(path.c_str(), 0) == 0);
  CHECK(error_of([&] { InputFile::open(path); }).code() == Code::io);
}

TEST_CASE("input file: open_no_follow refuses a link", "[base]") {
  const TemporaryDirectory dir;
  dir.write("f", "x");
  fs::create_symlink("f", dir / "link");
  CHECK(InputFile::open(dir / "link").size() == 1);
  CHECK(InputFile::open_no_follow(dir / "f").hard_links() == 1);
  const Error error = error_of([&] { InputFile::open_no_follow(dir / "link"); });
  CHECK(error.code() == Code::io);
  CHECK(mentions(error, "symbolic link"));
}

TEST_CASE("input file: never becomes a standard stream of the host", "[base]") {
  const TemporaryDirectory dir;
  const std::string path = dir.write("f", "x");
  const int saved = ::dup(0);
  REQUIRE(saved > 2);
  ::close(0);
  {
    const InputFile file = InputFile::open(path);
    CHECK(::fcntl(0, F_GETFD) == -1);
  }
  REQUIRE(::dup2(saved, 0) == 0);
  ::close(saved);
}

TEST_CASE("text files: read up to a limit", "[base]") {
  const TemporaryDirectory dir;
  const std::string path = dir.write("f", "12345");
  CHECK(read_text_file(path, 5) == "12345");
  CHECK(read_text_file(dir.write("empty", ""), 0).empty());
  const Error error = error_of([&] { read_text_file(path, 4); });
  CHECK(error.code() == Code::parse);
  CHECK(mentions(error, "5 bytes; the limit is 4"));
}

TEST_CASE("output file: reserved, written in any order, zero where nothing was written", "[base]") {
  const TemporaryDirectory dir;
  OutputFile file = OutputFile::create(dir / "f", 10);
  CHECK(fs::file_size(dir / "f") == 10);
  file.write(6, bytes_of("6789"));
  file.write(0, bytes_of("012"));
  CHECK(error_of([&] { file.write(~std::uint64_t{0} - 1, bytes_of("012")); }).code() == Code::io);
  file.close();
  CHECK(dir.read("f") == "012\0\0\0"s + "6789");
  CHECK(error_of([&] { file.write(0, bytes_of("x")); }).code() == Code::internal);
  CHECK(error_of([&] { OutputFile::create(dir / "f", 0); }).code() == Code::io);  // never overwrites
  CHECK(error_of([&] { OutputFile::create(dir / "no/f", 0); }).code() == Code::not_found);
}

TEST_CASE("output file: space that is not there is missed at once", "[base]") {
  const TemporaryDirectory dir;
  const Error error = error_of([&] { OutputFile::create(dir / "f", std::uint64_t{1} << 60); });
  CHECK(error.code() == Code::io);
  CHECK(mentions(error, "1.15 EB"));
  CHECK(error_of([&] { OutputFile::create(dir / "f", ~std::uint64_t{0}); }).code() == Code::io);
  CHECK_FALSE(fs::exists(dir / "f"));
}

TEST_CASE("output file: one that is there is taken over at the size that is wanted", "[base]") {
  const TemporaryDirectory dir;
  const auto content = [&](std::uint64_t size) {
    OutputFile file = OutputFile::open(dir / "f", size);
    std::string text(size, '?');
    file.read(0, gsl::as_writable_bytes(gsl::make_span(text)));
    return text;
  };
  CHECK(content(3) == "\0\0\0"s);
  OutputFile file = OutputFile::open(dir / "f", 5);
  file.write(1, bytes_of("ab"));
  file.sync();
  CHECK(content(6) == "\0ab\0\0\0"s);
  CHECK(content(2) == "\0a"s);
  CHECK(content(4) == "\0a\0\0"s);  // what was cut off does not come back
  std::string part(3, '?');
  CHECK(error_of([&] { file.read(3, gsl::as_writable_bytes(gsl::make_span(part))); }).code() == Code::io);

  fs::create_symlink(dir / "f", dir / "link");
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  for (const char* name : {"link", "fifo", "."}) {
    CAPTURE(name);
    CHECK(error_of([&] { OutputFile::open(dir / name, 1); }).code() == Code::io);
  }
  CHECK(error_of([&] { OutputFile::open(dir / "f", ~std::uint64_t{0}); }).code() == Code::io);
  CHECK(error_of([&] { OutputFile::open(dir / "no/f", 1); }).code() == Code::not_found);
}

TEST_CASE("copy and write: whole files, byte for byte", "[base]") {
  const TemporaryDirectory dir;
  std::string content((std::size_t{1} << 20) + 77, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 31 >> 3);
  copy_file(dir.write("a", content), dir / "b");
  CHECK(dir.read("b") == content);
  copy_file(dir.write("empty", ""), dir / "empty2");
  CHECK(dir.read("empty2").empty());
  write_text_file(dir / "text", "caf\xC3\xA9\n");
  CHECK(dir.read("text") == "caf\xC3\xA9\n");
  CHECK_THROWS_AS(copy_file(dir.path(), dir / "c"), Error);
}

TEST_CASE("paths: joining and taking apart", "[base]") {
  CHECK(join_path("a", "b") == "a/b");
  CHECK(join_path("a/", "b") == "a/b");
  CHECK(join_path("", "b") == "b");
  CHECK(join_path("/", "b") == "/b");
  CHECK(parent_path("a/b") == "a");
  CHECK(parent_path("a/b//") == "a");
  CHECK(parent_path("a//b") == "a");
  CHECK(parent_path("a") == ".");
  CHECK(parent_path("/a") == "/");
  CHECK(parent_path("/") == "/");
  CHECK(file_name("a/b/") == "b");
  CHECK(file_name("a") == "a");
}

TEST_CASE("paths: is_inside sees through links, dots and folders that are not there yet", "[base]") {
  const TemporaryDirectory dir;
  fs::create_directories(dir / "model/sub");
  fs::create_directories(dir / "models");
  fs::create_directory_symlink(dir / "model", dir / "link");
  const std::string model = dir / "model";
  CHECK(is_inside(model, model));
  CHECK(is_inside(dir / "model/sub/new/deeper", model));
  CHECK(is_inside(dir / "link/new", model));
  CHECK(is_inside(dir / "models/../model/x", model));
  CHECK(is_inside(dir / "model/", dir / "link"));
  CHECK_FALSE(is_inside(dir / "models", model));
  CHECK_FALSE(is_inside(dir / "model-quantized", model));
  CHECK_FALSE(is_inside(dir.path(), model));
  CHECK_FALSE(is_inside(model, dir / "absent"));
  CHECK(is_inside(dir / "absent", dir / "absent"));
  CHECK(is_inside(dir / "link/absent/b/c", dir / "model/absent"));  // where they will be
  CHECK_FALSE(is_inside(dir / "absents", dir / "absent"));
  CHECK_FALSE(is_inside(dir / "absent", dir / "absent/b"));
  CHECK(is_inside("not-there/x", "./not-there"));
  CHECK(is_inside(dir / "absent/./b", dir / "absent"));
  CHECK_FALSE(is_inside(dir / "absent/./b", dir / "b"));
  CHECK(canonical_path(dir / "link/sub/..") == model);
  CHECK(error_of([&] { canonical_path(dir / "absent"); }).code() == Code::not_found);
}

TEST_CASE("directories: listing and making", "[base]") {
  const TemporaryDirectory dir;
  dir.write("list/b", "123");
  dir.write("list/.hidden", "");
  fs::create_directories(dir / "list/c");
  fs::create_symlink("b", dir / "list/link");
  fs::create_symlink("nowhere", dir / "list/dangling");
  const auto entries = list_directory(dir / "list");
  REQUIRE(entries.size() == 5);
  CHECK(entries[0].name == ".hidden");
  CHECK((entries[1].name == "b" && entries[1].regular && entries[1].size == 3));
  CHECK((entries[2].name == "c" && entries[2].directory && !entries[2].regular));
  CHECK((entries[3].name == "dangling" && !entries[3].regular && !entries[3].directory));
  CHECK((entries[4].name == "link" && entries[4].regular && entries[4].size == 3));
  CHECK(error_of([&] { list_directory(dir / "absent"); }).code() == Code::not_found);

  create_directories(dir / "x/y/z");
  create_directories(dir / "x/y/z/");
  CHECK(fs::is_directory(dir / "x/y/z"));
  CHECK(error_of([&] { create_directories(dir / "list/b/under-a-file"); }).code() == Code::io);
  CHECK(error_of([&] { create_directories(dir / "list/b"); }).code() == Code::io);
}

TEST_CASE("disk: free space of a folder that is not there yet", "[base]") {
  const TemporaryDirectory dir;
  CHECK(free_disk_bytes(dir / "not/yet") > 0);
  CHECK(free_disk_bytes("relative/not/yet") > 0);
}

TEST_CASE("disk: folders of one disk are told from those of another, also where they are not there yet", "[base]") {
  const TemporaryDirectory dir;
  CHECK(disk_of(dir / "not/yet") == disk_of(dir.path()));
  CHECK(disk_of(dir / "not/yet") != disk_of("/proc/not/yet"));
}

}  // namespace
}  // namespace autoround
