// The chat template of a model folder with the special tokens that it may print. Text of a conversation out, nothing
// else.
#pragma once

#include <optional>
#include <string>

#include "base/json.hpp"

namespace autoround::calibration {

/// Valid UTF-8 throughout, as all that parse_json() gives.
struct Conversation {
  Json messages = Json::array();  // objects, with whatever keys the template asks for
  Json tools;                     // a list of descriptions, or null: the model is offered none
};

class ChatTemplate {
 public:
  /// From `directory`: chat_template.jinja, or else `chat_template` of tokenizer_config.json (a text, or a list of
  /// named ones of which "default" is taken, or "tool_use" where there are tools). nullopt when there is none.
  /// @throws Error parse: a broken file, naming it; io.
  static std::optional<ChatTemplate> load(const std::string& directory);

  /// The same text as transformers' apply_chat_template(tokenize=False). @throws Error parse, naming the template's
  /// file.
  std::string render(const Conversation& conversation, bool add_generation_prompt) const;

 private:
  std::string file_;  // where the template stands
  std::string source_;
  std::string tool_source_;               // for conversations with tools
  Json special_tokens_ = Json::object();  // bos_token, eos_token, ...
};

}  // namespace autoround::calibration
