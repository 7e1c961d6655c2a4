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
