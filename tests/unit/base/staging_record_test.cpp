// The record of a run: at every moment it is where a later run finds it, or the result is at its target.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "base/file.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/temporary_directory.hpp"

namespace {

int calls_left = -1;  // that change names, before the process ends; below 0: any number

void count_call() {
  if (calls_left-- == 0) ::_exit(9);
}

}  // namespace

// In place of the C library's, for the whole program.
extern "C" int rename(const char* from, const char* to) noexcept {
  count_call();
  return ::renameat(AT_FDCWD, from, AT_FDCWD, to);
}
extern "C" int unlink(const char* path) noexcept {
  count_call();
  return ::unlinkat(AT_FDCWD, path, 0);
}

namespace autoround {
namespace {

namespace fs = std::filesystem;
using test::TemporaryDirectory;

constexpr const char* record = StagingDirectory::record_name;

/// A run that ends before its call number `calls` that changes names. False: it had fewer.
bool ends_before(const std::string& target, int calls) {
  const pid_t child = ::fork();
  if (child == 0) {
    StagingDirectory staging(target, Unfinished::take_over);
    staging.keep(true);
    write_text_file(join_path(staging.path(), "result"), "all of it");
    write_text_file(join_path(staging.path(), record), "finished blocks");
    calls_left = calls;
    staging.commit();
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status) == 9;
}

TEST_CASE("staging: whenever a run ends, its record or its result is there", "[base]") {
  int calls = 0;
  for (bool ended = true; ended; ++calls) {
    CAPTURE(calls);
    const TemporaryDirectory dir;
    ended = ends_before(dir / "out", calls);
    if (fs::exists(dir / "out")) {
      CHECK(dir.read("out/result") == "all of it");
      CHECK(list_directory(dir / "out").size() == 1);
      fs::remove_all(dir / "out");
      const StagingDirectory next(dir / "out", Unfinished::take_over);
      CHECK_FALSE(next.keeps());
      CHECK(list_directory(next.path()).empty());
    } else {
      StagingDirectory next(dir / "out", Unfinished::take_over);
      CHECK(next.keeps());
      CHECK(dir.read(file_name(next.path()) + "/result") == "all of it");
      CHECK(dir.read(file_name(next.path()) + "/" + record) == "finished blocks");
      next.keep(false);
    }
    CHECK(list_directory(dir.path()).empty());
  }
  CHECK(calls > 3);
}

TEST_CASE("staging: a result that cannot be put in its place leaves the record where it was", "[base]") {
  const TemporaryDirectory dir;
  {
    StagingDirectory staging(dir / "out");
    write_text_file(join_path(staging.path(), record), "finished blocks");
    staging.keep(true);
    dir.write("out/precious", "1");
    CHECK(test::error_of([&] { staging.commit(); }).code() == Code::io);
    CHECK(dir.read(file_name(staging.path()) + "/" + record) == "finished blocks");
  }
  fs::remove_all(dir / "out");
  CHECK(list_directory(dir.path()).size() == 1);
}

}  // namespace
}  // namespace autoround
