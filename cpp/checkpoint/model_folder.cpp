#include "checkpoint/model_folder.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"

namespace autoround::checkpoint {
namespace {

constexpr std::size_t max_file_name_bytes = 255;

// .../models--org--name/snapshots/<revision> keeps its files in .../models--org--name/blobs.
std::string blob_store_of(const std::string& real_path) {
  const std::string snapshots = parent_path(real_path);
  if (file_name(snapshots) != "snapshots") return {};
  return join_path(parent_path(snapshots), "blobs");
}

bool lies_in(const std::string& path, const std::string& directory) {
  return !directory.empty() && parent_path(path) == directory;
}

}  // namespace

void require_plain_file_name(const std::string& name, const std::string& subject) {
  const auto forbidden = [](char c) {
    return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  };
  if (name.empty() || name == "." || name == ".." || name.size() > max_file_name_bytes ||
      std::any_of(name.begin(), name.end(), forbidden)) {
    fail(Code::parse, subject, quote(name) + " is not a plain file name; a file in the model folder itself is wanted");
  }
}

ModelFolder::ModelFolder(const std::string& directory, bool strict)
    : path_(directory),
      real_path_(canonical_path(directory)),
      blobs_(blob_store_of(real_path_)),
      strict_(strict),
      entries_(list_directory(directory)) {}

bool ModelFolder::contains(std::string_view name) const {
  const auto found =
      std::lower_bound(entries_.begin(), entries_.end(), name,
                       [](const DirectoryEntry& entry, std::string_view wanted) { return entry.name < wanted; });
  return found != entries_.end() && found->name == name;
}

// The real path of a file of the folder: what is checked here is what is opened, since it holds no link any more.
std::string ModelFolder::resolve(const std::string& name) const {
  const std::string path = path_of(name);
  const std::string real = canonical_path(path);
  if (strict_ ? real != join_path(real_path_, name) : !lies_in(real, real_path_) && !lies_in(real, blobs_)) {
    fail(Code::parse, path,
         strict_ ? "is a symbolic link, which strict paths forbid"
                 : "is a symbolic link to " + quote(real) + ", outside the model folder; put the file itself there");
  }
  return real;
}

InputFile ModelFolder::open(const std::string& name) const {
  require_plain_file_name(name, path_);
  InputFile file = InputFile::open_no_follow(resolve(name));
  if (strict_ && file.hard_links() != 1) {
    fail(Code::parse, path_of(name),
         "is a file with " + std::to_string(file.hard_links()) + " hard links, which strict paths forbid");
  }
  return file;
}

bool ModelFolder::admits(const std::string& name) const {
  try {
    open(name);
    return true;
  } catch (const Error& error) {
    if (error.code() == Code::parse) return false;
    throw;
  }
}

}  // namespace autoround::checkpoint
