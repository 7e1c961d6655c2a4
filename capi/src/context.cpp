#include "guard.hpp"

using namespace autoround::capi;
using autoround::Code;
using autoround::fail;

autoround_status autoround_context_new(autoround_context** out, autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    *out = new autoround_context();
  });
}

autoround_status autoround_context_set_log(autoround_context* context, int32_t level, autoround_log_fn fn,
                                           void* user_data, autoround_release_fn release,
                                           autoround_error** error) noexcept {
  return guarded(error, [&] {
    // Made first: whatever fails below, release runs exactly once.
    const auto callback = std::make_shared<Callback<autoround_log_fn>>(fn, user_data, release);
    autoround_context& target = deref(context, "context");
    if (level < AUTOROUND_LOG_TRACE || level > AUTOROUND_LOG_OFF)
      fail(Code::invalid_argument, "level",
           "log level " + std::to_string(level) + " is not one of AUTOROUND_LOG_TRACE..OFF");
    if (!fn) {
      target.log = autoround::Logger();
      return;
    }
    target.log = autoround::Logger(
        static_cast<autoround::LogLevel>(level), [callback](autoround::LogLevel line_level, std::string_view line) {
          const std::string terminated(line);
          callback->fn(callback->user_data, static_cast<int32_t>(line_level), terminated.c_str(), terminated.size());
        });
  });
}

autoround_status autoround_context_set_threads(autoround_context* context, int32_t intra_op,
                                               autoround_error** error) noexcept {
  return guarded(error, [&] {
    autoround_context& target = deref(context, "context");
    if (intra_op < 0 || intra_op > 1024)
      fail(Code::invalid_argument, "intra_op",
           std::to_string(intra_op) + " threads; 0 (the default) to 1024 are allowed");
    target.threads = intra_op;
  });
}

void autoround_context_free(autoround_context* context) noexcept {
  if (peek(context)) delete context;
}
