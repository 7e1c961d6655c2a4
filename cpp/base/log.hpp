// Log lines of one context. The host's callback is the only sink: the library never writes to stdout or stderr and
// never touches spdlog's process-wide registry. spdlog stays behind log.cpp so that it never meets a torch header.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace autoround {

enum class LogLevel : int { trace = 0, debug = 1, info = 2, warn = 3, error = 4, off = 5 };

class Logger {
 public:
  using Sink = std::function<void(LogLevel, std::string_view text)>;

  Logger();  // silent
  Logger(LogLevel level, Sink sink);

  bool enabled(LogLevel level) const noexcept;
  void write(LogLevel level, std::string_view text) const;
  void debug(std::string_view text) const { write(LogLevel::debug, text); }
  void info(std::string_view text) const { write(LogLevel::info, text); }
  void warn(std::string_view text) const { write(LogLevel::warn, text); }

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // copies share one sink
};

}  // namespace autoround
