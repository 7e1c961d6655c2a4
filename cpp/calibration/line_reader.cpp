#include "calibration/line_reader.hpp"

#include <algorithm>

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

}  // namespace autoround::calibration
