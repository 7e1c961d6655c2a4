/* What the host decides about a run, and how it follows and stops it. */
#ifndef AUTOROUND_FACADE_OPTIONS_HPP
#define AUTOROUND_FACADE_OPTIONS_HPP
#include "facade_tensor.hpp"

#include <atomic>

namespace autoround {

class Cancel {
 public:
  Cancel() noexcept { *handle_.out() = autoround_cancel_new(); }
  void request() noexcept { autoround_cancel_request(raw()); }
  bool isRequested() const noexcept { return autoround_cancel_is_requested(raw()) != 0; }
#ifndef SWIG
  autoround_cancel *raw() const noexcept { return handle_.get(); }
#endif
 private:
  detail::Handle<autoround_cancel, autoround_cancel_free> handle_;
};

/* The host's side of a run, called on the thread that made the call, during it. */
class Observer {
 public:
  virtual ~Observer() = default;
  /* false stops the run. */
  virtual bool onEvent(int kind, double fraction, int64_t block, Text name, int64_t iteration, double loss) = 0;
  /* A line of the log, of the least level or above. */
  virtual void onLog(int level, Text line) = 0;
  /* None until this is called. */
  void setLeastLogLevel(int level) noexcept { least_log_level_ = level; }
  /* The captured inputs of a block, inside onEvent for that kind only; elsewhere there are none. */
  size_t inputCount() const noexcept { return autoround_event_input_count(event_); }
  Status *input(size_t index, Tensor *out) noexcept { return detail::call(autoround_event_input, event_, index, out->out()); }
#ifndef SWIG
  /* The callbacks of the C library. What the host's language threw, the hand-written layer has stored: here it only stops the run. */
  static int32_t forward(void *slot, const autoround_event *event) noexcept {
    Observer *observer = *static_cast<Observer **>(slot);
    if (!observer) return 0;
    bool go_on = false;
    observer->event_ = event;
    try {
      const char *name = autoround_event_name(event);
      go_on = observer->onEvent(autoround_event_what(event), autoround_event_fraction(event), autoround_event_block(event),
                                {name, std::strlen(name)}, autoround_event_iteration(event), autoround_event_loss(event));
    } catch (...) {
    }
    observer->event_ = nullptr;
    return go_on ? 0 : 1;
  }
  static void forwardLog(void *, int32_t level, const char *text, size_t length) noexcept {
    Observer *observer = listening();
    if (!observer || level < observer->least_log_level_) return;
    try {
      observer->onLog(level, {text, length});
    } catch (...) {
    }
  }
  /* Lines of what this thread calls go to an observer, which may be null, for as long as this lives. A model's context logs for all runs on
   * it; the thread tells them apart. */
  class Listening {
   public:
    explicit Listening(Observer *observer) noexcept : before_(listening()) { listening() = observer; }
    Listening(const Listening &) = delete;
    Listening &operator=(const Listening &) = delete;
    ~Listening() { listening() = before_; }

   private:
    Observer *before_;
  };
#endif
 private:
  static Observer *&listening() noexcept {
    static thread_local Observer *observer = nullptr;
    return observer;
  }
  int least_log_level_ = AUTOROUND_LOG_OFF;
  const autoround_event *event_ = nullptr;
};

#ifndef SWIG
namespace detail {

/* Of what is opened from now on. */
inline std::atomic<int> &threads() noexcept {
  static std::atomic<int> count{0};
  return count;
}

/* A context whose lines go to whichever observer listens on the thread that makes a call. */
inline Status *listened(Handle<autoround_context, autoround_context_free> *context) noexcept {
  if (Status *failed = call(autoround_context_new, context->out())) return failed;
  if (Status *failed = call(autoround_context_set_threads, context->get(), threads().load())) return failed;
  return call(autoround_context_set_log, context->get(), AUTOROUND_LOG_TRACE, &Observer::forwardLog, nullptr, nullptr);
}

} /* namespace detail */
#endif

class Options {
 public:
  Status *create() noexcept { return detail::call(autoround_options_new, handle_.out()); }
  Status *setDevice(Text device) noexcept { return detail::call(autoround_options_set_device, raw(), device); }
  Status *setComputeDtype(Text dtype) noexcept { return detail::call(autoround_options_set_compute_dtype, raw(), dtype); }
  /* Signed, as Java has no other numbers: seeds end at 2^63 - 1. */
  Status *setSeed(int64_t seed) noexcept { return detail::call(autoround_options_set_seed, raw(), static_cast<uint64_t>(seed)); }
  Status *setDeterministic(bool on) noexcept { return detail::call(autoround_options_set_deterministic, raw(), on); }
  Status *setMemoryLimit(Text device, int64_t bytes) noexcept {
    return detail::call(autoround_options_set_memory_limit, raw(), device, bytes);
  }
  Status *setResume(bool on) noexcept { return detail::call(autoround_options_set_resume, raw(), on); }
  Status *setOutput(Text directory, Text format) noexcept { return detail::call(autoround_options_set_output, raw(), directory, format); }
  /* null: none. */
  Status *setCancel(Cancel *cancel) noexcept { return detail::call(autoround_options_set_cancel, raw(), detail::raw(cancel)); }
#ifndef SWIG
  autoround_options *raw() const noexcept { return handle_.get(); }
  /* Lends options a callback into *slot for as long as it lives; the library copies options, callback included, into a session. */
  class Callback {
   public:
    Callback(Options *options, int events, Observer **slot) noexcept : options_(detail::raw(options)) {
      failed_ = detail::call(autoround_options_set_callback, options_, events, &Observer::forward, static_cast<void *>(slot), nullptr);
    }
    Callback(const Callback &) = delete;
    Callback &operator=(const Callback &) = delete;
    ~Callback() { delete detail::call(autoround_options_set_callback, options_, 0, nullptr, nullptr, nullptr); }
    Status *failed() const noexcept { return failed_; }

   private:
    autoround_options *options_;
    Status *failed_;
  };
#endif
 private:
  detail::Handle<autoround_options, autoround_options_free> handle_;
};

} /* namespace autoround */
#endif
