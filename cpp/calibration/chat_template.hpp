// The chat template of a model folder with the special tokens that it may print. Text of a conversation out, nothing
// else.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "calibration/tokenizer.hpp"

namespace autoround::calibration {

class ChatTemplate {
 public:
  /// From `directory`: chat_template.jinja, or else `chat_template` of tokenizer_config.json (a text, or a list of
  /// named ones of which "default" is taken). nullopt when there is none. @throws Error parse: a broken file, naming
  /// it; io.
  static std::optional<ChatTemplate> load(const std::string& directory);

  /// The same text as transformers' apply_chat_template(tokenize=False). @throws Error parse, naming the template's
  /// file.
  std::string render(const std::vector<ChatMessage>& messages, bool add_generation_prompt) const;

 private:
  std::string file_;  // where the template stands
  std::string source_;
  Json special_tokens_ = Json::object();  // bos_token, eos_token, ...
};

}  // namespace autoround::calibration
