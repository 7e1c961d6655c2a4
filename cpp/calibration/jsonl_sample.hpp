// One line of a .jsonl calibration file.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "calibration/line_reader.hpp"
#include "calibration/tokenizer.hpp"

namespace autoround::calibration {

using Text = std::string;
using Messages = std::vector<ChatMessage>;
using TokenIds = std::vector<std::int64_t>;
using JsonlSample = std::variant<Text, Messages, TokenIds>;

/// Ids that a vocabulary can have lie below this.
constexpr std::int64_t max_vocab_size = std::int64_t{1} << 22;

/// @param field key to take; "" takes the first of text, messages and input_ids that the line has. `text` is a string,
/// `messages` a list of objects with role and content, `input_ids` a list of token ids; another key may hold any of
/// these.
/// @throws Error parse with the line's number: too long, NUL, invalid UTF-8, bad JSON (a lone surrogate such as
/// "\ud800" is bad JSON), a missing key or a value of another type.
JsonlSample parse_jsonl_sample(const Line& line, const std::string& path, const std::string& field);

}  // namespace autoround::calibration
