#include "calibration/text_input.hpp"

#include <algorithm>
#include <array>
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

void require_text(std::string_view text, const std::string& path, int first_line) {
  const auto invalid = invalid_utf8(text);
  const std::size_t nul = text.find('\0');
  const std::size_t offset = std::min(invalid.value_or(text.size()), std::min(nul, text.size()));
  if (offset == text.size()) return;

  const std::string_view before = text.substr(0, offset);
  const auto line = first_line + static_cast<int>(std::count(before.begin(), before.end(), '\n'));
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  throw Error(Code::parse, path,
              std::string(nul == offset ? "a NUL byte" : "invalid UTF-8") + " in the text; UTF-8 text is wanted", line,
              static_cast<int>(offset - line_start) + 1);
}

}  // namespace autoround::calibration
