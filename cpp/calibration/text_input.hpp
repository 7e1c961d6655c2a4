// What every text file that people hand over is checked for before it is used.
#pragma once

#include <cstddef>
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

/// @throws Error parse at the first invalid UTF-8 or NUL, which no text file has (UTF-16 is full of them).
/// @param first_line number of the line that `text` begins with.
void require_text(std::string_view text, const std::string& path, int first_line = 1);

}  // namespace autoround::calibration
