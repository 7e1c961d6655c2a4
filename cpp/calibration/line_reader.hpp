// Lines of a text file of any size, or elements of a JSON array, one at a time in constant memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/file.hpp"

namespace autoround::calibration {

struct Line {
  std::string text;       // without its end (LF or CRLF) and, in line 1, without a byte order mark
  int number = 0;         // 1-based
  bool too_long = false;  // longer than the limit: `text` is its beginning
};

class LineReader {
 public:
  static constexpr std::size_t max_line_bytes = 16u << 20;

  /// @param file must outlive the reader. A missing last newline is no error.
  explicit LineReader(const InputFile& file) : file_(file) {}

  /// The next line, or nullopt at the end. @throws Error io
  std::optional<Line> next();
  /// Of a file that is one JSON array, the next element, as a line that begins where it does; nullopt after the array.
  /// Elements are told apart, not checked. Not to be mixed with next(). @throws Error io; parse: the file ends within
  /// the array or goes on after it
  std::optional<Line> next_element();

 private:
  enum class Place { before, first, later, after };  // in the array

  bool fill();  // false at the end of the file

  const InputFile& file_;
  std::uint64_t offset_ = 0;  // of the file, where the next fill() reads
  std::string chunk_;
  std::size_t position_ = 0;  // in chunk_
  int number_ = 0;            // line ends passed
  Place place_ = Place::before;
};

}  // namespace autoround::calibration
