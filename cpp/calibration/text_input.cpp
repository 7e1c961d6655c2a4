#include "calibration/text_input.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/error.hpp"
#include "base/text.hpp"

namespace autoround::calibration {
namespace {

struct Magic {
  std::string_view bytes;
  const char* format;
};
constexpr std::array<Magic, 5> compressed = {{{"\x1f\x8b", "gzip"},
                                              {"PK\x03\x04", "zip"},
                                              {"\x28\xb5\x2f\xfd", "zstd"},
                                              {"BZh", "bzip2"},
                                              {"\xfd"
                                               "7zXZ",
                                               "xz"}}};

constexpr std::uint64_t chunk_bytes = 1u << 16;
constexpr std::string_view blanks = " \t\r\n", digits = "0123456789";

int to_int(std::int64_t count) {
  return static_cast<int>(std::min<std::int64_t>(count, std::numeric_limits<int>::max()));
}

}  // namespace

std::size_t byte_order_mark_size(std::string_view text) noexcept { return text.substr(0, 3) == "\xef\xbb\xbf" ? 3 : 0; }

std::string file_beginning(const InputFile& file) {
  std::string beginning(std::min<std::uint64_t>(file.size(), 4096), '\0');
  file.read(0, gsl::as_writable_bytes(gsl::span<char>(beginning)));
  return beginning;
}

void reject_compressed(std::string_view beginning, const std::string& path) {
  for (const Magic& magic : compressed) {
    if (beginning.substr(0, magic.bytes.size()) == magic.bytes) {
      fail(Code::parse, path, std::string("this is a ") + magic.format + " file; decompress it first, text is wanted");
    }
  }
}

bool is_blank(std::string_view text) noexcept { return text.find_first_not_of(blanks) == std::string_view::npos; }

TextKind kind_of(std::string_view beginning, std::string_view path) noexcept {
  constexpr std::string_view numbers = "[], \t\r0123456789";
  const auto at = [&](std::size_t place) { return place < beginning.size() ? beginning[place] : ']'; };
  beginning.remove_prefix(
      std::min(beginning.find_first_not_of(blanks, byte_order_mark_size(beginning)), beginning.size()));
  if (beginning.empty() || (beginning.front() != '{' && beginning.front() != '[')) return TextKind::prose;
  if (beginning.front() == '{') return TextKind::json_lines;

  const bool named_json = path.ends_with(".json") || path.ends_with(".jsonl");
  const std::size_t inner = beginning.find_first_not_of("[ \t\r\n");
  if (!named_json && at(inner) != '{') {
    // Lists of ids have nothing else in their line; "[1] Smith" and "[[a link]]" are prose.
    const std::size_t line_end = std::min(beginning.find('\n', inner), beginning.size());
    const bool ids =
        digits.find(at(inner)) != std::string_view::npos && beginning.find_first_not_of(numbers, inner) >= line_end;
    if (!ids) return TextKind::prose;
  }
  const char second = at(beginning.find_first_not_of(blanks, 1));
  return second == ']' || digits.find(second) != std::string_view::npos ? TextKind::json_lines : TextKind::json_array;
}

std::string_view take_characters(std::string_view& text, std::size_t most) noexcept {
  const std::string_view taken = text.substr(0, whole_characters(text, most));
  text.remove_prefix(taken.size());
  return taken;
}

TextPosition require_text(std::string_view text, const std::string& path, TextPosition at) {
  const auto invalid = invalid_utf8(text);
  const std::size_t nul = text.find('\0');
  const std::size_t offset = std::min(invalid.value_or(text.size()), std::min(nul, text.size()));

  const std::string_view before = text.substr(0, offset);
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  const TextPosition end = {at.line + std::count(before.begin(), before.end(), '\n'),
                            (line_start == 0 ? at.column : 1) + static_cast<std::int64_t>(offset - line_start)};
  if (offset == text.size()) return end;
  throw Error(Code::parse, path,
              std::string(nul == offset ? "a NUL byte" : "invalid UTF-8") + " in the text; UTF-8 text is wanted",
              to_int(end.line), to_int(end.column));
}

std::optional<std::string> TextReader::next() {
  const std::uint64_t count = std::min(chunk_bytes, file_.size() - offset_);
  if (count == 0) return std::nullopt;
  std::string text = std::exchange(cut_, {});
  const std::size_t before = text.size();
  text.resize(before + count);
  file_.read(offset_, gsl::as_writable_bytes(gsl::span<char>(text).subspan(before)));
  if (offset_ == 0) text.erase(0, byte_order_mark_size(text));
  offset_ += count;

  if (offset_ < file_.size()) {
    // Whether the last character is whole is not known: it waits for what comes after it.
    const std::size_t whole = whole_characters(text, text.size() - 1);
    cut_ = text.substr(whole);
    text.resize(whole);
  }
  position_ = require_text(text, file_.path(), position_);
  return text;
}

}  // namespace autoround::calibration
