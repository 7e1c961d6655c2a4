#include "fixture.hpp"

#include <dirent.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <stdexcept>

namespace autoround::calibration::test {

ScratchFolder::ScratchFolder() {
  char name[] = "/tmp/autoround-calibration-XXXXXX";
  if (::mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  if (DIR* folder = ::opendir(path_.c_str())) {
    while (const dirent* entry = ::readdir(folder)) ::unlink((path_ + "/" + entry->d_name).c_str());
    ::closedir(folder);
  }
  ::rmdir(path_.c_str());
}

std::string ScratchFolder::write(const std::string& name, std::string_view contents) const {
  const std::string path = path_ + "/" + name;
  std::ofstream(path, std::ios::binary) << contents;
  return path;
}

std::string source_path(const std::string& relative) { return std::string(AUTOROUND_SOURCE_DIR) + "/" + relative; }

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string real_tokenizer() {
  const char* given = std::getenv("AUTOROUND_TEST_MODEL");
  const std::string folder = given != nullptr ? given : source_path(".cache/models/SmolLM2-135M-Instruct");
  const std::string path = folder + "/tokenizer.json";
  return ::access(path.c_str(), R_OK) == 0 ? path : "";
}

Json tiny_tokenizer_json() {
  return Json::parse(read_file(source_path("tests/support/tiny_tokenizer/tokenizer.json")));
}

std::shared_ptr<const Tokenizer> tiny_tokenizer(const std::function<void(Json&)>& edit, const std::string& config) {
  Json json = tiny_tokenizer_json();
  if (edit) edit(json);
  const ScratchFolder folder;
  if (!config.empty()) folder.write("tokenizer_config.json", config);
  return Tokenizer::load(folder.write("tokenizer.json", json.dump()));
}

Conversation chat(std::initializer_list<std::pair<const char*, std::string>> messages) {
  Conversation conversation;
  for (const auto& [role, content] : messages) conversation.messages.push_back({{"role", role}, {"content", content}});
  return conversation;
}

}  // namespace autoround::calibration::test
