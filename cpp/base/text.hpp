// Small text helpers: UTF-8 checks, nearest names for hints, number formatting that ignores the host's locale.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace autoround {

/// Offset of the first byte that is not valid UTF-8 (overlongs and surrogates refused), or nullopt.
std::optional<std::size_t> invalid_utf8(std::string_view text);
/// Bytes of the longest beginning of `text` that has at most `most` and ends between two characters; `most` where that
/// is in the middle of what is no UTF-8.
std::size_t whole_characters(std::string_view text, std::size_t most) noexcept;
/// The candidate closest to `name` by edit distance, when close enough to be worth a hint; "" otherwise.
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);
/// " (did you mean `x`?)", or "".
std::string hint(std::string_view name, const std::vector<std::string>& candidates);
/// Untrusted text made fit for a message: in backticks, control bytes as \xNN, cut at a UTF-8 edge after `max_bytes`.
std::string quote(std::string_view text, std::size_t max_bytes = 200);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
/// The parts one after another. For messages: a chain of + is a call for each, with its cleanup, in every place.
std::string concat(std::initializer_list<std::string_view> parts);
/// With every `what`, which is not "", replaced.
std::string replaced(std::string_view text, std::string_view what, std::string_view with);
std::string format_number(double value);        // shortest text that reads back the same, '.' as decimal point
std::string format_bytes(std::uint64_t bytes);  // "1.44 GB" (decimal units)

}  // namespace autoround
