#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "base/file.hpp"

namespace autoround {
namespace {

// Calls act(folder_fd, name, is_directory) for everything in `folder`, inner folders first. Symbolic links are entries,
// never followed. Allocates nothing of its own, for the destructor uses it. @return 0 or the first errno.
template <typename Act>
int walk(int folder, const Act& act) {
  DIR* directory = ::fdopendir(folder);
  if (directory == nullptr) {
    const int error = errno;
    ::close(folder);
    return error;
  }
  int result = 0;
  while (const dirent* entry = ::readdir(directory)) {
    const char* name = entry->d_name;
    if (std::string_view(name) == "." || std::string_view(name) == "..") continue;
    struct stat status{};
    if (::fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
      result = result != 0 ? result : errno;
      continue;
    }
    int error = 0;
    if (S_ISDIR(status.st_mode)) {
      const int inner = ::openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      error = inner < 0 ? errno : walk(inner, act);
    }
    if (error == 0) error = act(folder, name, S_ISDIR(status.st_mode));
    if (result == 0) result = error;
  }
  ::closedir(directory);
  return result;
}

int remove_entry(int folder, const char* name, bool is_directory) {
  return ::unlinkat(folder, name, is_directory ? AT_REMOVEDIR : 0) == 0 ? 0 : errno;
}

int sync_folder(int folder, const char* name, bool is_directory) {
  if (!is_directory) return 0;  // files were synced when they were closed
  const Descriptor inner(
      uninterrupted([&] { return ::openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); }));
  return inner.valid() && uninterrupted([&] { return ::fsync(inner.get()); }) == 0 ? 0 : errno;
}

Descriptor try_to_open_folder(const std::string& path) {
  return open_descriptor(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

Descriptor open_folder(const std::string& path) {
  Descriptor folder = try_to_open_folder(path);
  if (!folder.valid()) fail_errno(path, "open the directory", errno);
  return folder;
}

void sync_directory(const std::string& path) {
  const Descriptor folder = open_folder(path);
  if (uninterrupted([&] { return ::fsync(folder.get()); }) != 0)
    fail_errno(path, "write the directory through to disk", errno);
}

// Where the finished folder will be, as an absolute path that a change of the working directory cannot move.
std::string resolve_target(const std::string& target) {
  require_plain_path(target);
  if (target.empty()) fail(Code::invalid_argument, target, "the output directory has no name");
  struct stat status{};
  if (::stat(target.c_str(), &status) == 0) {
    if (!S_ISDIR(status.st_mode)) fail(Code::invalid_argument, target, "exists and is not a directory");
    if (!list_directory(target).empty()) {
      fail(Code::invalid_argument, target, "exists and is not empty; give a new or an empty directory");
    }
    const std::string resolved = canonical_path(target);
    struct stat parent{};
    if (::stat(parent_path(resolved).c_str(), &parent) == 0 && parent.st_dev != status.st_dev) {
      fail(Code::invalid_argument, target,
           "is a mount point, and the finished folder could not be renamed onto it; give a directory inside it");
    }
    return resolved;
  }
  if (errno != ENOENT) fail_errno(target, "examine the output directory", errno == ENOTDIR ? EEXIST : errno);
  struct stat link{};
  if (::lstat(target.c_str(), &link) == 0)
    fail(Code::invalid_argument, target, "is a symbolic link that leads nowhere");
  const std::string name = file_name(target);
  if (name == "." || name == "..") fail(Code::invalid_argument, target, "does not name a new directory");
  const std::string parent = parent_path(target);
  create_directories(parent);
  return join_path(canonical_path(parent), name);
}

// `target` with its links resolved when it is there, else as it is: the staging directory is beside that.
std::string followed(const std::string& target) {
  struct stat status{};
  return ::stat(target.c_str(), &status) == 0 ? canonical_path(target) : target;
}

// The owner removes its lock file while it holds the lock. A process that opened the old file before that and gets the
// lock after it holds a lock on a file without a name; it sees that here and starts over.
Descriptor take_lock(const std::string& lock_path, const std::string& target) {
  for (;;) {
    Descriptor lock = open_descriptor(lock_path, O_RDWR | O_CREAT | O_NOFOLLOW, 0666);
    if (!lock.valid()) fail_errno(lock_path, "create the lock file", errno);
    if (uninterrupted([&] { return ::flock(lock.get(), LOCK_EX | LOCK_NB); }) != 0) {
      if (errno == EWOULDBLOCK) fail(Code::invalid_state, target, "another run is writing this output directory");
      fail_errno(lock_path, "lock the file", errno);
    }
    struct stat held{};
    struct stat named{};
    if (::fstat(lock.get(), &held) != 0) fail_errno(lock_path, "examine the lock file", errno);
    if (::lstat(lock_path.c_str(), &named) == 0 && named.st_dev == held.st_dev && named.st_ino == held.st_ino)
      return lock;
  }
}

std::string hidden_name(const std::string& name, std::string_view ending) {
  return std::string(".").append(name).append(ending);
}

constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::size_t letters_of_name = 6;

std::string staging_prefix(const std::string& name) { return hidden_name(name, ".incomplete-"); }

bool is_staging_name(const std::string& entry, const std::string& prefix) {
  return entry.size() == prefix.size() + letters_of_name && entry.rfind(prefix, 0) == 0 &&
         entry.find_first_not_of(letters, prefix.size()) == std::string::npos;
}

// The staging directories for `name` in `parent`, the one that was last changed first. While one's own run holds the
// lock they are all of runs that ended without a word.
std::vector<std::string> find_unfinished(const std::string& parent, const std::string& name) {
  std::vector<std::pair<std::int64_t, std::string>> found;
  const std::string prefix = staging_prefix(name);
  for (const DirectoryEntry& entry : list_directory(parent)) {
    const std::string path = join_path(parent, entry.name);
    struct stat status{};
    if (!is_staging_name(entry.name, prefix) || ::lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
      continue;
    found.emplace_back(-(std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec), path);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> paths;
  for (auto& [age, path] : found) paths.push_back(std::move(path));
  return paths;
}

void remove_folder(const std::string& path) {
  Descriptor folder = try_to_open_folder(path);
  if (folder.valid()) walk(folder.release(), remove_entry);
  ::rmdir(path.c_str());
}

// mkdir and not mkdtemp: the folder keeps its mode when it is renamed, and the host's umask should decide it. Where it
// will have that of a directory which is there, nobody else sees into it before.
std::string create_staging(const std::string& parent, const std::string& name) {
  struct stat target{};
  const mode_t mode = ::lstat(join_path(parent, name).c_str(), &target) == 0 ? 0700 : 0777;
  std::random_device random;
  for (;;) {
    std::string path = join_path(parent, staging_prefix(name));
    for (std::size_t i = 0; i < letters_of_name; ++i) path += letters[random() % letters.size()];
    if (::mkdir(path.c_str(), mode) == 0) return path;
    if (errno != EEXIST) fail_errno(path, "create the staging directory", errno);
  }
}

// Gives `path` the owner, the group and the mode of the directory `like`, if there is one, as far as the system lets
// it: what it cannot give stays private. Rights of a group that is not the same one are not given.
void take_mode(const std::string& path, const std::string& like) {
  struct stat wanted{};
  if (::lstat(like.c_str(), &wanted) != 0 || !S_ISDIR(wanted.st_mode)) return;
  const bool same_group = ::chown(path.c_str(), wanted.st_uid, wanted.st_gid) == 0 ||
                          ::chown(path.c_str(), static_cast<uid_t>(-1), wanted.st_gid) == 0;
  static_cast<void>(::chmod(path.c_str(), (wanted.st_mode & (same_group ? 07777 : 07707)) | S_IRWXU));
}

}  // namespace

StagingDirectory::StagingDirectory(const std::string& target, Unfinished unfinished, const Logger& log)
    : target_(resolve_target(target)), parent_(parent_path(target_)) {
  const std::string name = file_name(target_);
  lock_path_ = join_path(parent_, hidden_name(name, ".lock"));
  record_aside_ = join_path(parent_, hidden_name(name, ".journal"));
  lock_ = take_lock(lock_path_, target_);
  try {
    std::vector<std::string> earlier = find_unfinished(parent_, name);
    if (unfinished == Unfinished::take_over && !earlier.empty()) {
      staging_ = earlier.front();
      keep_ = true;
      earlier.erase(earlier.begin());
      ::rename(record_aside_.c_str(), join_path(staging_, record_name).c_str());  // of a run that ended in commit()
    } else {
      ::unlink(record_aside_.c_str());  // the same, of a result that was there or a directory that goes now
    }
    for (const std::string& path : earlier) {
      log.warn(path + ": removed; a run that did not end had left it");
      remove_folder(path);
    }
    if (staging_.empty()) staging_ = create_staging(parent_, name);
  } catch (...) {
    ::unlink(lock_path_.c_str());
    throw;
  }
}

// Nothing can be reported from here: what could not be removed keeps its ".incomplete" name, which no reader takes.
StagingDirectory::~StagingDirectory() {
  if (!committed_ && !keep_) remove_folder(staging_);
  ::unlink(lock_path_.c_str());
}

void StagingDirectory::remove_others(const std::vector<std::string>& names) {
  const Descriptor folder = open_folder(staging_);
  for (const DirectoryEntry& entry : list_directory(staging_)) {
    if (std::find(names.begin(), names.end(), entry.name) != names.end()) continue;
    const std::string path = join_path(staging_, entry.name);
    if (::unlinkat(folder.get(), entry.name.c_str(), 0) != 0 && errno == EISDIR) remove_folder(path);
    struct stat status{};
    if (::lstat(path.c_str(), &status) == 0) fail(Code::io, path, "cannot be removed");
  }
}

void StagingDirectory::commit() {
  if (committed_) fail(Code::internal, target_, "the output directory was committed twice");
  if (const int error = walk(open_folder(staging_).release(), sync_folder); error != 0) {
    fail_errno(staging_, "write the directories through to disk", error);
  }
  sync_directory(staging_);
  // At every moment the record is there or the result is, and the result never has it inside.
  const std::string record = join_path(staging_, record_name);
  if (::rename(record.c_str(), record_aside_.c_str()) != 0 && errno != ENOENT)
    fail_errno(record, "move the file out of the finished directory", errno);
  take_mode(staging_, target_);
  if (::rename(staging_.c_str(), target_.c_str()) != 0) {
    const int error = errno;
    ::rename(record_aside_.c_str(), record.c_str());
    if (error == ENOTEMPTY || error == EEXIST || error == ENOTDIR) {
      fail(Code::io, target_, "was created by someone else while this run was writing; the result was not put there");
    }
    fail_errno(target_, "rename the finished directory " + staging_ + " to its final name", error);
  }
  committed_ = true;
  keep_ = false;
  sync_directory(parent_);
  ::unlink(record_aside_.c_str());
}

std::string staging_parent(const std::string& target) { return parent_path(followed(target)); }

std::uint64_t unfinished_bytes(const std::string& target) {
  struct stat status{};
  const std::string path = followed(target), parent = parent_path(path);
  if (::stat(parent.c_str(), &status) != 0) return 0;
  std::uint64_t bytes = 0;
  for (const std::string& staging : find_unfinished(parent, file_name(path))) {
    Descriptor folder = try_to_open_folder(staging);
    if (!folder.valid()) continue;
    walk(folder.release(), [&](int inner, const char* name, bool) {
      struct stat file{};
      if (::fstatat(inner, name, &file, AT_SYMLINK_NOFOLLOW) == 0)
        bytes += static_cast<std::uint64_t>(file.st_blocks) * 512;
      return 0;
    });
  }
  return bytes;
}

}  // namespace autoround
