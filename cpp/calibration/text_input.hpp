// What every text file that people hand over is checked for before it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/file.hpp"

namespace autoround::calibration {

/// 3 when `text` begins with UTF-8's byte order mark, else 0.
std::size_t byte_order_mark_size(std::string_view text) noexcept;

/// The first bytes of a file, for telling what it is.
std::string file_beginning(const InputFile& file);

/// @throws Error parse when `beginning` is that of a compressed file: this library never decompresses.
void reject_compressed(std::string_view beginning, const std::string& path);

/// Nothing but what JSON has between its values.
bool is_blank(std::string_view text) noexcept;

enum class TextKind { prose, json_lines, json_array };
/// What a file is by its beginning, and where that leaves a doubt ("[1] is the first reference") by its name.
TextKind kind_of(std::string_view beginning, std::string_view path) noexcept;

/// Takes the longest beginning of whole characters that has at most `most` (4 or more) bytes off the front of `text`.
std::string_view take_characters(std::string_view& text, std::size_t most) noexcept;

/// Counted in lines and bytes, from 1.
struct TextPosition {
  std::int64_t line = 1, column = 1;
};

/// @throws Error parse at the first invalid UTF-8 or NUL, which no text file has (UTF-16 is full of them).
/// @param at where in the file `text` begins. @return where it ends
TextPosition require_text(std::string_view text, const std::string& path, TextPosition at = {});

/// A plain text file of any size, a part at a time.
class TextReader {
 public:
  /// @param file must outlive the reader.
  explicit TextReader(const InputFile& file) : file_(file) {}

  /// The next part, of whole characters, line ends as they are, without a byte order mark; nullopt at the end.
  /// @throws Error io; parse as require_text
  std::optional<std::string> next();

 private:
  const InputFile& file_;
  std::uint64_t offset_ = 0;  // of the file, where next() reads
  std::string cut_;           // what was read of the character at offset_
  TextPosition position_;
};

}  // namespace autoround::calibration
