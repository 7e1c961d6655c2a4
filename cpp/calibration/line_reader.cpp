#include "calibration/line_reader.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "calibration/text_input.hpp"

namespace autoround::calibration {
namespace {

constexpr std::uint64_t chunk_bytes = 1u << 18;

}  // namespace

bool LineReader::fill() {
  const std::uint64_t count = std::min(chunk_bytes, file_.size() - offset_);
  chunk_.resize(count);
  position_ = 0;
  file_.read(offset_, gsl::as_writable_bytes(gsl::span<char>(chunk_)));
  offset_ += count;
  return count != 0;
}

std::optional<Line> LineReader::next() {
  if (position_ == chunk_.size() && !fill()) return std::nullopt;

  Line line;
  line.number = ++number_;
  bool ended = false;
  do {
    const std::size_t end = std::min(chunk_.find('\n', position_), chunk_.size());
    ended = end < chunk_.size();
    const std::size_t room = max_line_bytes - line.text.size();
    line.too_long = line.too_long || end - position_ > room;
    line.text.append(chunk_, position_, std::min(end - position_, room));
    position_ = end + (ended ? 1 : 0);
  } while (!ended && fill());

  if (!line.text.empty() && line.text.back() == '\r') line.text.pop_back();
  if (line.number == 1) line.text.erase(0, byte_order_mark_size(line.text));
  return line;
}

std::optional<Line> LineReader::next_element() {
  Line line;
  line.number = number_ + 1;
  int depth = 0;
  bool quoted = false, escaped = false;
  while (position_ < chunk_.size() || fill()) {
    const char byte = chunk_[position_++];
    if (byte == '\n') ++number_;
    if (place_ == Place::before) {
      if (byte == '[') place_ = Place::first;
      line.number = number_ + 1;
      continue;
    }
    if (place_ == Place::after) {
      if (is_blank({&byte, 1})) continue;
      throw Error(Code::parse, file_.path(),
                  "the file goes on after its JSON array; one array, or one sample a line, is wanted", number_ + 1);
    }

    if (quoted) {
      quoted = escaped || byte != '"';
      escaped = !escaped && byte == '\\';
    } else if (depth <= 0 && (byte == ',' || byte == ']')) {
      const bool empty_array = place_ == Place::first && byte == ']' && is_blank(line.text);
      place_ = byte == ']' ? Place::after : Place::later;
      if (!empty_array) return line;
      continue;
    } else {
      quoted = byte == '"';
      if (byte == '[' || byte == '{') ++depth;
      if (byte == ']' || byte == '}') --depth;
    }

    if (byte == '\n' && is_blank(line.text)) {
      // So that places in errors are those of the file.
      line.text.clear();
      line.number = number_ + 1;
    } else if (line.text.size() < max_line_bytes) {
      line.text += byte;
    } else {
      line.too_long = true;
    }
  }
  if (place_ != Place::after) {
    throw Error(Code::parse, file_.path(), "the file ends before its JSON array does", number_ + 1);
  }
  return std::nullopt;
}

}  // namespace autoround::calibration
