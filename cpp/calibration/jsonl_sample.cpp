#include "calibration/jsonl_sample.hpp"

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "calibration/text_input.hpp"

namespace autoround::calibration {
namespace {

constexpr std::array known_fields = {"text", "messages", "input_ids"};

std::vector<std::string> keys_of(const Json& object) {
  std::vector<std::string> keys;
  for (const auto& item : object.items()) keys.push_back(item.key());
  return keys;
}

std::string choose_field(const JsonView& object, const std::string& field) {
  if (!field.empty()) {
    if (object.json().contains(field)) return field;
    fail(Code::parse, object.subject(), "the key `" + field + "` is missing" + hint(field, keys_of(object.json())));
  }
  for (const char* known : known_fields) {
    if (object.json().contains(known)) return known;
  }
  fail(Code::parse, object.subject(),
       "none of the keys text, messages, input_ids is there; found: " + join(keys_of(object.json()), ", "));
}

/// Most templates join a text to the content: parts, which few of them know, become the text that they make up.
Json read_content(const Json& content, const std::string& path) {
  if (content.is_string() || content.is_null()) return content;
  if (!content.is_array()) {
    fail(Code::parse, path,
         concat({"the content of a message is of type ", content.type_name(), "; a string is wanted"}));
  }
  std::string text;
  for (const Json& entry : content) {
    const JsonView part(entry, path);
    const std::string type = part.string_or("type", "text");
    if (type != "text") fail(Code::parse, path, "the content of a message has " + quote(type) + "; text is wanted");
    text += part.string("text");
  }
  return text;
}

Json read_messages(const Json& list, const std::string& name, const std::string& path) {
  Json messages = Json::array();
  for (const Json& entry : list) {
    const JsonView message(entry, path);
    const bool calls = message.has("tool_calls") && !entry.at("tool_calls").empty();
    if (!message.has("role") || !(message.has("content") || calls)) {
      fail(Code::parse, path, name + " has a message without role or content");
    }
    static_cast<void>(message.string("role"));
    Json kept = Json::object();
    auto& members = kept.get_ref<Json::object_t&>();  // appended to: operator[] would search all of them each time
    for (const auto& [key, value] : entry.get_ref<const Json::object_t&>()) {
      if (key == "content")
        members.emplace_back(key, read_content(value, path));
      else if (!value.empty())  // exported tables write every key into every message, and templates ask for keys
        members.emplace_back(key, value);
    }
    messages.push_back(std::move(kept));
  }
  return messages;
}

Json read_tools(const JsonView& object) {
  if (!object.has("tools")) return nullptr;
  const Json& tools = object.json().at("tools");
  if (!tools.is_array()) {
    fail(Code::parse, object.subject(),
         concat({"the key `tools` holds ", tools.type_name(), "; a list of tools is wanted"}));
  }
  return tools.empty() ? Json() : tools;
}

TokenIds read_ids(const Json& list, const std::string& name, const std::string& path) {
  TokenIds ids;
  ids.reserve(list.size());
  for (const Json& entry : list) {
    const bool in_range = entry.is_number_integer() && entry >= 0 && entry < max_vocab_size;
    if (!in_range) {
      fail(Code::parse, path,
           name + " holds " + entry.dump() + " at place " + std::to_string(ids.size()) + "; whole numbers from 0 to " +
               std::to_string(max_vocab_size - 1) + " are wanted");
    }
    ids.push_back(entry.get<std::int64_t>());
  }
  return ids;
}

JsonlSample read_sample(const Json& json, const std::string& field, const std::string& path) {
  const bool sample_list = json.is_array() && (json.empty() || !json.front().is_string());
  const bool bare = field.empty() && (json.is_string() || sample_list);
  const std::string key = bare ? "" : choose_field(JsonView(json, path), field);
  const std::string name = bare ? "the list" : "`" + key + "`";
  const Json& value = bare ? json : json.at(key);
  if (key == "text") return JsonView(json, path).string(key);
  if (value.is_string() && key != "messages" && key != "input_ids") return value.get<std::string>();
  if (value.is_array()) {
    const bool objects = !value.empty() && value.front().is_object();
    if (key != "messages" && (key == "input_ids" || !objects)) return read_ids(value, name, path);
    return Conversation{read_messages(value, name, path), bare ? Json() : read_tools(JsonView(json, path))};
  }
  const char* wanted = key == "messages"    ? "a list of messages"
                       : key == "input_ids" ? "a list of token ids"
                                            : "a string, a list of messages or a list of token ids";
  fail(Code::parse, path, "the key `" + key + "` holds " + value.type_name() + "; " + wanted + " is wanted");
}

}  // namespace

JsonlSample parse_jsonl_sample(const Line& line, const std::string& path, const std::string& field) {
  try {
    if (line.too_long) {
      fail(Code::parse, path, "the sample is longer than " + std::to_string(LineReader::max_line_bytes) + " bytes");
    }
    require_text(line.text, path, {line.number});
    const Json json = parse_json(line.text, path, {LineReader::max_line_bytes, 64, line.number});
    return read_sample(json, field, path);
  } catch (const Error& error) {
    throw Error(error.code(), path, error.what(), std::max(line.number, error.line()), error.column());
  }
}

}  // namespace autoround::calibration
