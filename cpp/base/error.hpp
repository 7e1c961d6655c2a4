// The one exception class of the engine. Its codes are the status codes of the C ABI; capi/src/guard.hpp turns it into
// a status and an error object. Nothing in the engine ends the process, prints, or swallows an error.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace autoround {

enum class Code : std::int32_t {
  invalid_argument = -1,
  invalid_state = -2,
  not_found = -3,
  io = -4,
  parse = -5,
  unsupported = -6,
  out_of_memory = -7,
  device = -8,
  cancelled = -9,
  numeric = -10,
  internal = -99,
};

class Error : public std::runtime_error {
 public:
  /// @param subject what the error is about: a file, a recipe key, a tensor or a layer; "" when nothing fits.
  /// @param message a whole sentence for a person: where, what was found, what was wanted. Without the subject in
  /// front.
  /// @param line,column 1-based place in a text that was parsed; 0 when there is none.
  Error(Code code, std::string subject, const std::string& message, int line = 0, int column = 0)
      : std::runtime_error(message), code_(code), subject_(std::move(subject)), line_(line), column_(column) {}

  Code code() const noexcept { return code_; }
  const std::string& subject() const noexcept { return subject_; }
  int line() const noexcept { return line_; }
  int column() const noexcept { return column_; }

 private:
  Code code_;
  std::string subject_;
  int line_;
  int column_;
};

[[noreturn]] inline void fail(Code code, std::string subject, const std::string& message) {
  throw Error(code, std::move(subject), message);
}

}  // namespace autoround
