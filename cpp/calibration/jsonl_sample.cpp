#include "calibration/jsonl_sample.hpp"

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

Messages read_messages(const Json& list, const std::string& key, const std::string& path) {
  Messages messages;
  for (const Json& entry : list) {
    const JsonView message(entry, path);
    if (!message.has("role") || !message.has("content")) {
      fail(Code::parse, path, "`" + key + "` has a message without role or content");
    }
    messages.push_back({message.string("role"), message.string("content")});
  }
  return messages;
}

TokenIds read_ids(const Json& list, const std::string& key, const std::string& path) {
  TokenIds ids;
  ids.reserve(list.size());
  for (const Json& entry : list) {
    const bool in_range = entry.is_number_integer() && entry >= 0 && entry < max_vocab_size;
    if (!in_range) {
      fail(Code::parse, path,
           "`" + key + "` holds " + entry.dump() + " at place " + std::to_string(ids.size()) +
               "; whole numbers from 0 to " + std::to_string(max_vocab_size - 1) + " are wanted");
    }
    ids.push_back(entry.get<std::int64_t>());
  }
  return ids;
}

JsonlSample read_sample(const JsonView& object, const std::string& field) {
  const std::string key = choose_field(object, field);
  const Json& value = object.json().at(key);
  const bool objects = value.is_array() && !value.empty() && value.front().is_object();
  if (key == "text" || value.is_string()) {
    if (key != "messages" && key != "input_ids") return object.string(key);
  } else if (value.is_array()) {
    if (key == "messages" || (key != "input_ids" && objects)) return read_messages(value, key, object.subject());
    return read_ids(value, key, object.subject());
  }
  const char* wanted = key == "messages"    ? "a list of messages"
                       : key == "input_ids" ? "a list of token ids"
                                            : "a string, a list of messages or a list of token ids";
  fail(Code::parse, object.subject(),
       "the key `" + key + "` holds " + value.type_name() + "; " + wanted + " is wanted");
}

}  // namespace

JsonlSample parse_jsonl_sample(const Line& line, const std::string& path, const std::string& field) {
  try {
    if (line.too_long) {
      fail(Code::parse, path, "the line is longer than " + std::to_string(LineReader::max_line_bytes) + " bytes");
    }
    require_text(line.text, path);
    const Json json = parse_json(line.text, path, {LineReader::max_line_bytes, 64, line.number});
    return read_sample(JsonView(json, path), field);
  } catch (const Error& error) {
    throw Error(error.code(), path, error.what(), line.number, error.column());
  }
}

}  // namespace autoround::calibration
