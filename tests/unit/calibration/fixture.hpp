// A scratch folder, the tiny tokenizer, and a check for errors.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"
#include "calibration/chat_template.hpp"
#include "calibration/tokenizer.hpp"
#include "support/errors.hpp"

namespace autoround::calibration::test {

class ScratchFolder {
 public:
  ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder();

  /// Writes a file and returns its path.
  std::string write(const std::string& name, std::string_view contents) const;

 private:
  std::string path_;
};

std::string source_path(const std::string& relative);  // of this project
std::string read_file(const std::string& path);
/// tokenizer.json of the model in $AUTOROUND_TEST_MODEL, or of SmolLM2 in .cache/models; "" when it is not there.
std::string real_tokenizer();
Json tiny_tokenizer_json();  // tests/support/tiny_tokenizer/tokenizer.json

/// The tiny tokenizer after `edit` changed its JSON, with `config` (when not empty) as tokenizer_config.json.
std::shared_ptr<const Tokenizer> tiny_tokenizer(const std::function<void(Json&)>& edit = {},
                                                const std::string& config = "");

/// Pairs of role and content.
Conversation chat(std::initializer_list<std::pair<const char*, std::string>> messages);

using autoround::test::error_of;

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace autoround::calibration::test
