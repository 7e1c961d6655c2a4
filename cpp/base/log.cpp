#include "base/log.hpp"

// Header-only, so that no libspdlog or libfmt has to be found when the library is loaded into a host, and without the
// default logger, which would open stdout.
#define SPDLOG_DISABLE_DEFAULT_LOGGER
#ifndef FMT_HEADER_ONLY
#define FMT_HEADER_ONLY
#endif
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>

#include <mutex>

namespace autoround {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::trace:
      return spdlog::level::trace;
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warn:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::off:
      break;
  }
  return spdlog::level::off;
}

LogLevel from_spdlog(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
      return LogLevel::trace;
    case spdlog::level::debug:
      return LogLevel::debug;
    case spdlog::level::info:
      return LogLevel::info;
    case spdlog::level::warn:
      return LogLevel::warn;
    default:
      return LogLevel::error;
  }
}

// Hands lines to the host one at a time. The mutex is recursive because a host's callback may call a function of the
// library that logs.
class CallbackSink final : public spdlog::sinks::base_sink<std::recursive_mutex> {
 public:
  explicit CallbackSink(Logger::Sink host_sink) : sink_(std::move(host_sink)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    try {
      sink_(from_spdlog(message.level), std::string_view(message.payload.data(), message.payload.size()));
    } catch (...) {
      // A line that the host could not take must not end the run that it describes, and there is nowhere else to say
      // so.
    }
  }
  void flush_() override {}

 private:
  Logger::Sink sink_;
};

}  // namespace

struct Logger::Impl {
  Impl(LogLevel level, Sink sink) : logger("autoround", std::make_shared<CallbackSink>(std::move(sink))) {
    logger.set_level(to_spdlog(level));
    logger.set_error_handler([](const std::string&) {});  // the default one prints to stderr
  }
  spdlog::logger logger;
};

Logger::Logger() = default;

Logger::Logger(LogLevel level, Sink sink) {
  if (sink && level != LogLevel::off) impl_ = std::make_shared<Impl>(level, std::move(sink));
}

bool Logger::enabled(LogLevel level) const noexcept {
  return impl_ && level != LogLevel::off && impl_->logger.should_log(to_spdlog(level));
}

void Logger::write(LogLevel level, std::string_view text) const {
  if (enabled(level)) impl_->logger.log(to_spdlog(level), spdlog::string_view_t(text.data(), text.size()));
}

}  // namespace autoround
