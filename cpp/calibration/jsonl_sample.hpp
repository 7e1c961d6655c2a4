// One line of a .jsonl calibration file, or one element of a JSON array.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "calibration/chat_template.hpp"
#include "calibration/line_reader.hpp"

namespace autoround::calibration {

using Text = std::string;
using TokenIds = std::vector<std::int64_t>;
using JsonlSample = std::variant<Text, Conversation, TokenIds>;

/// Ids that a vocabulary can have lie below this.
constexpr std::int64_t max_vocab_size = std::int64_t{1} << 22;

/// @param field key to take; "" takes the first of text, messages and input_ids that the line has, and lines without
/// keys. `text` is a string, `messages` a list of objects with role and content, `input_ids` a list of token ids;
/// another key, or the whole line, may hold any of these. Messages keep their other keys, and the line's `tools` go
/// with them.
/// @throws Error parse with the line's number: too long, NUL, invalid UTF-8, bad JSON (a lone surrogate such as
/// "\ud800" is bad JSON), a missing key or a value of another type.
JsonlSample parse_jsonl_sample(const Line& line, const std::string& path, const std::string& field);

}  // namespace autoround::calibration
