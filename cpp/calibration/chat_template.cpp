#include "calibration/chat_template.hpp"

#include <array>
#include <utility>

#include "base/error.hpp"
#include "base/file.hpp"
#include "calibration/ffi_buffer.hpp"

namespace autoround::calibration {
namespace {

constexpr std::uint64_t max_template_bytes = 1u << 20;
constexpr std::array special_names = {"bos_token", "eos_token", "unk_token", "sep_token",
                                      "pad_token", "cls_token", "mask_token"};

bool contains_file(const std::string& directory, const std::string& name) {
  for (const DirectoryEntry& entry : list_directory(directory)) {
    if (entry.name == name) return true;
  }
  return false;
}

// A token is a text, or an object that describes an added token.
Json special_tokens(const JsonView& config) {
  Json tokens = Json::object();
  for (const char* name : special_names) {
    if (!config.has(name)) continue;
    const Json& value = config.json().at(name);
    tokens[name] = value.is_object() ? config.object(name)->string("content") : config.string(name);
  }
  return tokens;
}

std::optional<std::string> template_text(const JsonView& config, std::string_view name) {
  if (!config.has("chat_template")) return std::nullopt;
  const Json& value = config.json().at("chat_template");
  if (!value.is_array()) return config.string("chat_template");
  for (const Json& entry : value) {
    const JsonView named(entry, config.subject());
    if (named.string("name") == name) return named.string("template");
  }
  return std::nullopt;
}

}  // namespace

std::optional<ChatTemplate> ChatTemplate::load(const std::string& directory) {
  ChatTemplate result;
  std::optional<std::string> text, tool_text;
  if (contains_file(directory, "tokenizer_config.json")) {
    result.file_ = join_path(directory, "tokenizer_config.json");
    const JsonLimits limits;
    const Json json = parse_json(read_text_file(result.file_, limits.max_bytes), result.file_, limits);
    const JsonView config(json, result.file_);
    result.special_tokens_ = special_tokens(config);
    text = template_text(config, "default");
    tool_text = template_text(config, "tool_use");
  }
  if (contains_file(directory, "chat_template.jinja")) {
    result.file_ = join_path(directory, "chat_template.jinja");
    tool_text = text = read_text_file(result.file_, max_template_bytes);
  }
  if (!text) return std::nullopt;
  result.tool_source_ = tool_text.value_or(*text);
  result.source_ = std::move(*text);
  return result;
}

std::string ChatTemplate::render(const Conversation& conversation, bool add_generation_prompt) const {
  const std::string& source = conversation.tools.is_null() ? source_ : tool_source_;
  Json context = special_tokens_;
  context["messages"] = conversation.messages;
  context["add_generation_prompt"] = add_generation_prompt;
  // Templates ask whether these are none, not whether they are there.
  context["tools"] = conversation.tools;
  context["documents"] = nullptr;
  const std::string variables = context.dump();

  FfiBuffer text, error;
  const int status = autoround_ffi_render_chat(ffi_bytes(source), source.size(), ffi_bytes(variables), variables.size(),
                                               text.out(), error.out());
  check_ffi(status, error, file_, "the chat template failed");
  return text.text();
}

}  // namespace autoround::calibration
