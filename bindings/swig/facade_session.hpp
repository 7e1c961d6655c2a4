/* A run, and what came of it. */
#ifndef AUTOROUND_FACADE_SESSION_HPP
#define AUTOROUND_FACADE_SESSION_HPP
#include <string>
#include <vector>

#include "facade_model.hpp"

namespace autoround {

class Result {
 public:
  size_t blockCount() const noexcept { return autoround_result_block_count(raw()); }
  const char *blockName(size_t block) const noexcept { return autoround_result_block_name(raw(), block); }
  double blockLossBefore(size_t block) const noexcept { return autoround_result_block_loss_before(raw(), block); }
  double blockLossAfter(size_t block) const noexcept { return autoround_result_block_loss_after(raw(), block); }
  int64_t blockBestIteration(size_t block) const noexcept { return autoround_result_block_best_iteration(raw(), block); }
  double blockSeconds(size_t block) const noexcept { return autoround_result_block_seconds(raw(), block); }
  size_t layerCount() const noexcept { return autoround_result_layer_count(raw()); }
  const char *layerName(size_t layer) const noexcept { return autoround_result_layer_name(raw(), layer); }
  const char *layerScheme(size_t layer) const noexcept { return autoround_result_layer_scheme(raw(), layer); }
  const char *layerReason(size_t layer) const noexcept { return autoround_result_layer_reason(raw(), layer); }
  Status *layerTensor(size_t layer, Text part, Tensor *out) const noexcept {
    return detail::call(autoround_result_layer_tensor, raw(), layer, part, out->out());
  }
  size_t warningCount() const noexcept { return autoround_result_warning_count(raw()); }
  const char *warning(size_t index) const noexcept { return autoround_result_warning(raw(), index); }
  Status *report(TextOut *out) const noexcept { return detail::call(autoround_result_report, raw(), out->out()); }
  Status *reportHtml(TextOut *out) const noexcept { return detail::call(autoround_result_report_html, raw(), out->out()); }
#ifndef SWIG
  autoround_result *raw() const noexcept { return handle_.get(); }
  autoround_result **out() noexcept { return handle_.out(); }
#endif
 private:
  detail::Handle<autoround_result, autoround_result_free> handle_;
};

/* Names of modules, for one call. */
class Names {
 public:
  Status *add(Text name) noexcept {
    if (!name.data) return new Status(AUTOROUND_ERROR_INVALID_ARGUMENT, nullptr, "the name of a module is null");
    const detail::Argument<Text> copy(name);
    if (Status *failed = detail::refused(copy.fault())) return failed;
    try {
      texts_.emplace_back(copy.get());
    } catch (...) {
      return detail::refused(AUTOROUND_ERROR_OUT_OF_MEMORY);
    }
    return nullptr;
  }
#ifndef SWIG
  /* Calls f(const char *const *names, size_t count). */
  template <class F>
  Status *use(F f) const noexcept {
    std::vector<const char *> names;
    try {
      for (const std::string &text : texts_) names.push_back(text.c_str());
    } catch (...) {
      return detail::refused(AUTOROUND_ERROR_OUT_OF_MEMORY);
    }
    return f(static_cast<const char *const *>(names.data()), names.size());
  }
#endif
 private:
  std::vector<std::string> texts_;
};

class Session {
 public:
  /* data may be null when the recipe only rounds. events: the kinds that the observers of the steps are told of. Nobody else uses
   * options during the call. */
  Status *create(Model *model, const Recipe *recipe, const Calibration *data, Options *options, int events) noexcept {
    const Options::Callback callback(options, events, &observer_);
    if (callback.failed()) return callback.failed();
    return detail::call(autoround_session_new, detail::raw(model), detail::raw(recipe), detail::raw(data), detail::raw(options), handle_.out());
  }
  int state() const noexcept { return autoround_session_state(raw()); }
  /* An observer may be null, as everywhere. */
  Status *initialize(Observer *observer) noexcept { return step(observer, autoround_session_initialize, raw()); }
  Status *start(Observer *observer) noexcept { return step(observer, autoround_session_start, raw()); }
  /* block: its index, -1 after the last. */
  Status *nextBlock(Observer *observer, NumberOut *block) noexcept {
    size_t reached = 0;
    autoround_status status = AUTOROUND_OK;
    const auto next = [&](autoround_error **error) { return status = autoround_session_next_block(raw(), &reached, error); };
    Status *failed = step(observer, next);
    block->set(status == AUTOROUND_OK ? static_cast<int64_t>(reached) : -1);
    return failed;
  }
  Status *sequentialEpochEnd(Observer *observer) noexcept { return step(observer, autoround_session_sequential_epoch_end, raw()); }
  Status *sequentialEpochEndModules(Observer *observer, const Names *modules) noexcept {
    return modules->use([&](const char *const *names, size_t count) {
      return step(observer, autoround_session_sequential_epoch_end_modules, raw(), names, count);
    });
  }
  Status *end(Observer *observer) noexcept { return step(observer, autoround_session_end, raw()); }
  Status *finalize(Observer *observer, Result *out) noexcept { return step(observer, autoround_session_finalize, raw(), out->out()); }
  /* All steps from CREATED on. */
  Status *run(Observer *observer, Result *out) noexcept {
    if (Status *failed = initialize(observer)) return failed;
    if (Status *failed = start(observer)) return failed;
    for (NumberOut block;;) {
      if (Status *failed = nextBlock(observer, &block)) return failed;
      if (block.integer() < 0) break;
      if (Status *failed = sequentialEpochEnd(observer)) return failed;
    }
    return finalize(observer, out);
  }
#ifndef SWIG
  autoround_session *raw() const noexcept { return handle_.get(); }
#endif
 private:
  template <class Function, class... Arguments>
  Status *step(Observer *observer, Function function, const Arguments &...arguments) noexcept {
    const Observer::Listening listening(observer);
    observer_ = observer;
    Status *failed = detail::call(function, arguments...);
    observer_ = nullptr;
    return failed;
  }
  Observer *observer_ = nullptr; /* lent for the step that runs; before handle_, whose callback points here */
  detail::Handle<autoround_session, autoround_session_free> handle_;
};

} /* namespace autoround */
#endif
