#include <dirent.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <memory>

#include "base/file.hpp"

namespace autoround {
namespace {

std::string_view without_trailing_slashes(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return path;
}

// The path itself when it exists, else its closest ancestor that does.
std::string nearest_existing(const std::string& wanted, struct stat& status) {
  require_plain_path(wanted);
  std::string path = wanted.empty() ? std::string(1, '.') : wanted;
  while (::stat(path.c_str(), &status) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) fail_errno(path, "examine the path", errno);
    std::string parent = parent_path(path);
    if (parent == path) fail_errno(path, "examine the path", errno);
    path = std::move(parent);
  }
  return path;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// The path with its existing part resolved; the rest, which is not there yet, is appended as it is.
std::string resolved_path(const std::string& wanted) {
  struct stat status{};
  const std::string existing = nearest_existing(wanted, status);
  std::string rest;
  for (std::string path = wanted; path != existing; path = parent_path(path))
    if (const std::string name = file_name(path); name != ".") rest.insert(0, "/" + name);
  return canonical_path(existing) + rest;
}

bool same_inode(const struct stat& a, const struct stat& b) { return a.st_dev == b.st_dev && a.st_ino == b.st_ino; }

}  // namespace

std::string join_path(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (!path.empty() && path.back() != '/') path += '/';
  return path.append(name);
}

std::string parent_path(std::string_view path) {
  path = without_trailing_slashes(path);
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(slash == 0 ? std::string_view("/") : without_trailing_slashes(path.substr(0, slash)));
}

std::string file_name(std::string_view path) {
  path = without_trailing_slashes(path);
  const auto slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

std::string canonical_path(const std::string& path) {
  require_plain_path(path);
  const std::unique_ptr<char, decltype(&std::free)> resolved(::realpath(path.c_str(), nullptr), &std::free);
  if (!resolved) fail_errno(path, "resolve the path", errno);
  return resolved.get();
}

bool is_inside(const std::string& path, const std::string& directory) {
  struct stat wanted{};
  if (::stat(directory.c_str(), &wanted) != 0) {
    if (errno != ENOENT) fail_errno(directory, "examine the directory", errno);
    return (resolved_path(path) + "/").rfind(resolved_path(directory) + "/", 0) == 0;
  }
  struct stat status{};
  std::string ancestor = canonical_path(nearest_existing(path, status));
  while (!same_inode(status, wanted)) {
    if (ancestor == "/") return false;
    ancestor = parent_path(ancestor);
    if (::stat(ancestor.c_str(), &status) != 0) fail_errno(ancestor, "examine the directory", errno);
  }
  return true;
}

std::uint64_t free_disk_bytes(const std::string& path) {
  struct stat status{};
  const std::string existing = nearest_existing(path, status);
  struct statvfs space{};
  if (::statvfs(existing.c_str(), &space) != 0) fail_errno(existing, "ask for the free disk space", errno);
  return static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
}

std::uint64_t disk_of(const std::string& path) {
  struct stat status{};
  nearest_existing(path, status);
  return status.st_dev;
}

void create_directories(const std::string& path) {
  require_plain_path(path);
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) {
    if (!S_ISDIR(status.st_mode)) fail(Code::io, path, "is not a directory, but a folder is wanted there");
    return;
  }
  if (errno != ENOENT) fail_errno(path, "examine the directory", errno == ENOTDIR ? EEXIST : errno);
  if (const std::string parent = parent_path(path); parent != path) create_directories(parent);
  if (::mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) fail_errno(path, "create the directory", errno);
}

std::vector<DirectoryEntry> list_directory(const std::string& path) {
  require_plain_path(path);
  const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(path.c_str()));
  if (!directory) fail_errno(path, "list the directory", errno);
  std::vector<DirectoryEntry> entries;
  errno = 0;
  for (const dirent* entry = ::readdir(directory.get()); entry != nullptr; entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat status{};
    DirectoryEntry found{std::string(name)};
    if (::fstatat(::dirfd(directory.get()), entry->d_name, &status, 0) == 0) {
      found.regular = S_ISREG(status.st_mode);
      found.directory = S_ISDIR(status.st_mode);
      found.size = static_cast<std::uint64_t>(status.st_size);
    }
    entries.push_back(std::move(found));
    errno = 0;  // readdir reports its own errors through errno alone
  }
  if (errno != 0) fail_errno(path, "list the directory", errno);
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return entries;
}

}  // namespace autoround
