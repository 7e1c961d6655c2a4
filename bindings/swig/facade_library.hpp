/* The library as a whole: versions, features, presets, threads. */
#ifndef AUTOROUND_FACADE_LIBRARY_HPP
#define AUTOROUND_FACADE_LIBRARY_HPP
#include "facade_options.hpp"

namespace autoround {

class Library {
 public:
  static const char *version() noexcept { return autoround_version_string(); }
  static const char *buildInfo() noexcept { return autoround_build_info(); }
  static const char *statusName(int code) noexcept { return autoround_status_name(code); }
  static bool hasFeature(Text name) noexcept { return autoround_has_feature(detail::Argument<Text>(name).get()) != 0; }
  static size_t schemeCount() noexcept { return autoround_scheme_count(); }
  static const char *schemeName(size_t index) noexcept { return autoround_scheme_name(index); }
  static size_t formatCount() noexcept { return autoround_format_count(); }
  static const char *formatName(size_t index) noexcept { return autoround_format_name(index); }
  /* Of one kind; of all kinds when empty. */
  static size_t liveHandles(Text kind) noexcept { return autoround_live_handles(detail::Argument<Text>(detail::optional(kind)).get()); }
  /* Of models and layers that are opened from now on. */
  static Status *setThreads(int count) noexcept {
    detail::Handle<autoround_context, autoround_context_free> context;
    if (Status *failed = detail::call(autoround_context_new, context.out())) return failed;
    if (Status *failed = detail::call(autoround_context_set_threads, context.get(), count)) return failed;
    detail::threads() = count;
    return nullptr;
  }
};

} /* namespace autoround */
#endif
