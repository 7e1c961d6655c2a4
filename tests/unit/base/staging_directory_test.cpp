#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "base/file.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/temporary_directory.hpp"

namespace autoround {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::mentions;
using test::TemporaryDirectory;

std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  for (const DirectoryEntry& entry : list_directory(path)) names.push_back(entry.name);
  return names;
}

TEST_CASE("staging: nothing is at the target before commit, everything after", "[base]") {
  const TemporaryDirectory dir;
  StagingDirectory staging(dir / "a/b/out");
  CHECK(staging.target() == dir / "a/b/out");
  CHECK(fs::path(staging.path()).parent_path() == dir / "a/b");
  CHECK(fs::path(staging.path()).filename().string().rfind(".out.incomplete-", 0) == 0);
  write_text_file(join_path(staging.path(), "config.json"), "{}");
  create_directories(join_path(staging.path(), "gguf"));
  write_text_file(join_path(staging.path(), "gguf/model.gguf"), "GGUF");
  CHECK_FALSE(fs::exists(dir / "a/b/out"));
  staging.commit();
  CHECK(dir.read("a/b/out/config.json") == "{}");
  CHECK(dir.read("a/b/out/gguf/model.gguf") == "GGUF");
  CHECK_FALSE(fs::exists(staging.path()));
}

TEST_CASE("staging: no traces, whether committed or not", "[base]") {
  const TemporaryDirectory dir;
  {
    StagingDirectory(dir / "out").commit();
  }
  CHECK(names_in(dir.path()) == std::vector<std::string>{"out"});
  {
    const StagingDirectory staging(dir / "other");
    create_directories(join_path(staging.path(), "x/y"));
    write_text_file(join_path(staging.path(), "x/y/file"), "1");
    dir.write("kept/file", "precious");
    fs::create_directory_symlink(dir / "kept", join_path(staging.path(), "link"));
  }
  CHECK(names_in(dir.path()) == std::vector<std::string>{"kept", "out"});
  CHECK(dir.read("kept/file") == "precious");  // links are removed, not followed
}

TEST_CASE("staging: an empty folder may be replaced, also through a link or with a slash at the end", "[base]") {
  const TemporaryDirectory dir;
  fs::create_directory(dir / "empty");
  fs::create_directory_symlink(dir / "empty", dir / "link");
  StagingDirectory staging(dir / "link/");
  CHECK(staging.target() == dir / "empty");
  write_text_file(join_path(staging.path(), "f"), "1");
  staging.commit();
  CHECK(dir.read("link/f") == "1");
}

TEST_CASE("staging: where it is can be asked before, also through links", "[base]") {
  const TemporaryDirectory dir;
  fs::create_directories(dir / "there/empty");
  fs::create_directory_symlink(dir / "there/empty", dir / "link");
  CHECK(staging_parent(dir / "link") == dir / "there");
  CHECK(fs::path(StagingDirectory(dir / "link").path()).parent_path() == dir / "there");
  CHECK(staging_parent(dir / "new/") == dir.path());
  CHECK(staging_parent(dir / "no/such") == dir / "no");
}

TEST_CASE("staging: a relative target stays where it was when it was named", "[base]") {
  const TemporaryDirectory dir;
  const fs::path before = fs::current_path();
  fs::current_path(dir.path());
  std::optional<StagingDirectory> staging(std::in_place, "out");
  fs::current_path(before);
  staging->commit();
  CHECK(fs::is_directory(dir / "out"));
}

TEST_CASE("staging: targets that cannot be", "[base]") {
  const TemporaryDirectory dir;
  dir.write("full/f", "1");
  dir.write("file", "1");
  fs::create_symlink("nowhere", dir / "dangling");
  for (const auto& [target, code, mention] : std::initializer_list<std::tuple<std::string, Code, std::string>>{
           {dir / "full", Code::invalid_argument, "not empty"},
           {dir / "file", Code::invalid_argument, "not a directory"},
           {dir / "file/out", Code::io, "File exists"},
           {dir / "dangling", Code::invalid_argument, "leads nowhere"},
           {dir / "new/..", Code::invalid_argument, "does not name"},
           {"", Code::invalid_argument, "no name"},
           {"/", Code::invalid_argument, "not empty"},
           {dir / std::string(300, 'n'), Code::io, "too long"}}) {
    CAPTURE(target);
    const Error error = error_of([&, path = target] { StagingDirectory{path}; });
    CAPTURE(test::text_of(error));
    CHECK(error.code() == code);
    CHECK(mentions(error, mention));
  }
  CHECK(names_in(dir.path()) == std::vector<std::string>{"dangling", "file", "full"});
}

TEST_CASE("staging: a second writer of the same target is turned away, and may try again later", "[base]") {
  const TemporaryDirectory dir;
  {
    const StagingDirectory first(dir / "out");
    const Error error = error_of([&] { StagingDirectory(dir / "out/"); });
    CHECK(error.code() == Code::invalid_state);
    CHECK(mentions(error, "another run"));
    const StagingDirectory neighbour(dir / "out2");
  }
  StagingDirectory again(dir / "out");
  again.commit();
  CHECK(error_of([&] { again.commit(); }).code() == Code::internal);
}

TEST_CASE("staging: what someone else put at the target meanwhile survives", "[base]") {
  const TemporaryDirectory dir;
  StagingDirectory staging(dir / "out");
  dir.write("out/precious", "1");
  const Error error = error_of([&] { staging.commit(); });
  CHECK(error.code() == Code::io);
  CHECK(mentions(error, "someone else"));
  CHECK(dir.read("out/precious") == "1");
}

/// What a killed run leaves: its directory, and a lock file that nobody holds.
std::string killed_run(const TemporaryDirectory& dir, const std::string& ending, const std::string& file) {
  dir.write(".out.lock", "");
  dir.write(".out.incomplete-" + ending + "/" + file, "of " + ending);
  return dir / (".out.incomplete-" + ending);
}

TEST_CASE("staging: what a killed run left is removed, and said", "[base]") {
  const TemporaryDirectory dir;
  const std::string left = killed_run(dir, "abc123", "sub/file");
  for (const char* other :
       {".out.incomplete-toolong", ".out.incomplete-ABC123", ".out2.incomplete-abc123", ".out.incomplete-short/x"})
    dir.write(std::string(other) + "/file", "not ours");
  dir.write(".out.incomplete-file99", "a file");
  fs::create_directory_symlink(dir.path(), dir / ".out.incomplete-link99");
  std::string said;
  const Logger log(LogLevel::warn, [&](LogLevel, std::string_view text) { said += text; });
  CHECK(unfinished_bytes(dir / "out") > 0);
  {
    const StagingDirectory staging(dir / "out", Unfinished::remove, log);
    CHECK_FALSE(fs::exists(left));
    CHECK_FALSE(staging.keeps());
    CHECK(said.find(left) != std::string::npos);
  }
  CHECK(names_in(dir.path()) == std::vector<std::string>{".out.incomplete-ABC123", ".out.incomplete-file99",
                                                         ".out.incomplete-link99", ".out.incomplete-short",
                                                         ".out.incomplete-toolong", ".out2.incomplete-abc123"});
  CHECK(unfinished_bytes(dir / "out") == 0);
  CHECK(unfinished_bytes(dir / "no/such/parent") == 0);
}

TEST_CASE("staging: what a killed run left is taken over and not lost", "[base]") {
  const TemporaryDirectory dir;
  const std::string older = killed_run(dir, "zzzzzz", "file");
  const std::string newer = killed_run(dir, "aaaaaa", "file");
  fs::last_write_time(older, fs::last_write_time(newer) - std::chrono::seconds(5));
  {
    const StagingDirectory staging(dir / "out", Unfinished::take_over);
    CHECK(staging.path() == newer);
    CHECK(staging.keeps());
    CHECK_FALSE(fs::exists(older));  // one is enough
  }
  CHECK(dir.read(".out.incomplete-aaaaaa/file") == "of aaaaaa");
  CHECK_FALSE(fs::exists(dir / ".out.lock"));
  {
    StagingDirectory staging(dir / "out", Unfinished::take_over);
    write_text_file(join_path(staging.path(), "wanted"), "1");
    create_directories(join_path(staging.path(), "sub/sub"));
    staging.remove_others({"wanted", "absent"});
    CHECK(names_in(staging.path()) == std::vector<std::string>{"wanted"});
    staging.keep(false);
  }
  CHECK(names_in(dir.path()).empty());
  {
    StagingDirectory fresh(dir / "out", Unfinished::take_over);
    CHECK_FALSE(fresh.keeps());
    fresh.keep(true);
    fresh.commit();
  }
  CHECK(names_in(dir.path()) == std::vector<std::string>{"out"});
}

TEST_CASE("staging: what another user left and nobody else can read counts as nothing", "[base]") {
  const TemporaryDirectory dir;
  const std::string left = killed_run(dir, "abc123", "file");
  REQUIRE(::chmod(dir.path().c_str(), 0755) == 0);
  const bool root = ::geteuid() == 0;
  REQUIRE(::chmod(left.c_str(), root ? 0700 : 0) == 0);
  if (root) REQUIRE(::seteuid(65534) == 0);  // root reads everything
  CHECK_NOTHROW(unfinished_bytes(dir / "out"));
  CHECK(unfinished_bytes(dir / "out") == 0);
  if (root) REQUIRE(::seteuid(0) == 0);
  REQUIRE(::chmod(left.c_str(), 0700) == 0);
  CHECK(unfinished_bytes(dir / "out") > 0);
}

TEST_CASE("staging: an empty folder that is replaced keeps its owner, its group and its mode", "[base]") {
  const TemporaryDirectory dir;
  const std::string out = dir / "out";
  fs::create_directory(out);
  if (::geteuid() == 0) REQUIRE(::chown(out.c_str(), 1234, 4321) == 0);
  REQUIRE(::chmod(out.c_str(), 02710) == 0);
  struct stat before{}, meanwhile{}, after{};
  REQUIRE(::stat(out.c_str(), &before) == 0);
  StagingDirectory staging(out);
  REQUIRE(::stat(staging.path().c_str(), &meanwhile) == 0);
  CHECK((meanwhile.st_mode & 0777) == 0700);  // of whatever group it is
  staging.commit();
  REQUIRE(::stat(out.c_str(), &after) == 0);
  CHECK(after.st_ino == meanwhile.st_ino);
  CHECK(after.st_mode == before.st_mode);
  CHECK(after.st_uid == before.st_uid);
  CHECK(after.st_gid == before.st_gid);
}

TEST_CASE("staging: the umask decides the mode of the result", "[base]") {
  const TemporaryDirectory dir;
  const mode_t before = ::umask(027);
  StagingDirectory staging(dir / "out");
  ::umask(before);
  staging.commit();
  struct stat status{};
  REQUIRE(::stat((dir / "out").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0750);
}

}  // namespace
}  // namespace autoround
