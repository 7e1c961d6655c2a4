// Owner of what the Rust half hands out, and the turning of its failures into errors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "calibration/tokenizer_ffi/tokenizer_ffi.h"

namespace autoround::calibration {

class FfiBuffer {
 public:
  FfiBuffer() = default;
  FfiBuffer(const FfiBuffer&) = delete;
  FfiBuffer& operator=(const FfiBuffer&) = delete;
  ~FfiBuffer() { autoround_ffi_buffer_free(buffer_); }

  autoround_ffi_buffer* out() noexcept { return &buffer_; }
  std::string text() const {
    return buffer_.size == 0 ? std::string() : std::string(reinterpret_cast<const char*>(buffer_.data), buffer_.size);
  }
  std::vector<std::int64_t> ids() const {
    const auto* first = reinterpret_cast<const std::uint32_t*>(buffer_.data);
    return {first, first + buffer_.size / sizeof(std::uint32_t)};
  }

 private:
  autoround_ffi_buffer buffer_{nullptr, 0};
};

/// @throws Error parse with `what` in front of the sentence in `error`, unless `status` is 0.
inline void check_ffi(int status, const FfiBuffer& error, const std::string& subject, const std::string& what) {
  if (status != 0) fail(Code::parse, subject, what + ": " + error.text());
}

inline const std::uint8_t* ffi_bytes(std::string_view text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

}  // namespace autoround::calibration
