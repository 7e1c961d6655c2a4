/* C++ over autoround.h alone, in the shape that SWIG turns into Java, C# and Go. Users see the hand-written layer above it.
 *
 * - A class owns one handle, made by a fallible method and not by its constructor, and freed by its destructor.
 * - A fallible method gives an owned Status *, null when all went well; typemaps turn it into an exception or a Go error.
 * - Texts come in as Text, tensors go out as Bytes, other values go out through the holders NumberOut and TextOut.
 * - An observer is lent for one call and never stored. Nothing here throws.
 */
#ifndef AUTOROUND_FACADE_HPP
#define AUTOROUND_FACADE_HPP
#include "facade_base.hpp"

namespace autoround {

class Library {
 public:
  static const char *version() noexcept { return autoround_version_string(); }
  static int abiVersion() noexcept { return static_cast<int>(autoround_abi_version()); }
  static const char *buildInfo() noexcept { return autoround_build_info(); }
  static const char *statusName(int code) noexcept { return autoround_status_name(code); }
  static bool hasFeature(Text name) noexcept { return autoround_has_feature(detail::Argument<Text>(name).get()) != 0; }
  static size_t schemeCount() noexcept { return autoround_scheme_count(); }
  static const char *schemeName(size_t index) noexcept { return autoround_scheme_name(index); }
  static size_t formatCount() noexcept { return autoround_format_count(); }
  static const char *formatName(size_t index) noexcept { return autoround_format_name(index); }
  /* Of one kind; of all kinds when empty. */
  static size_t liveHandles(Text kind) noexcept { return autoround_live_handles(detail::Argument<Text>(detail::optional(kind)).get()); }
  /* For the whole process. */
  static Status *setThreads(int count) noexcept {
    detail::Handle<autoround_context, autoround_context_free> context;
    if (Status *failed = detail::call(autoround_context_new, context.out())) return failed;
    return detail::call(autoround_context_set_threads, context.get(), count);
  }
};

class Tensor {
 public:
  const char *dtype() const noexcept { return autoround_tensor_dtype(raw()); }
  size_t rank() const noexcept { return autoround_tensor_rank(raw()); }
  int64_t size(size_t dim) const noexcept { return autoround_tensor_size(raw(), dim); }
  size_t byteSize() const noexcept { return autoround_tensor_byte_size(raw()); }
  /* A part of the memory, for languages whose views count in 32 bits; nothing when it is not all there. */
  Bytes bytes(size_t offset, size_t length) const noexcept {
    const char *data = static_cast<const char *>(autoround_tensor_data(raw()));
    if (!data || offset > byteSize() || length > byteSize() - offset) return {nullptr, 0};
    return {data + offset, length};
  }
#ifndef SWIG
  autoround_tensor *raw() const noexcept { return handle_.get(); }
  autoround_tensor **out() noexcept { return handle_.out(); }
#endif
 private:
  detail::Handle<autoround_tensor, autoround_tensor_free> handle_;
};

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

/* The host's side of a run. onEvent is called on the thread that made the call, during it; false stops the run. */
class Observer {
 public:
  virtual ~Observer() = default;
  virtual bool onEvent(int kind, double fraction, int64_t block, Text name, int64_t iteration, double loss) = 0;
  /* The captured inputs of a block, inside onEvent for that kind only; elsewhere there are none. */
  size_t inputCount() const noexcept { return autoround_event_input_count(event_); }
  Status *input(size_t index, Tensor *out) noexcept { return detail::call(autoround_event_input, event_, index, out->out()); }
#ifndef SWIG
  /* The callback of the C library. What the host's language threw, the hand-written layer has stored: here it only stops the run. */
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
#endif
 private:
  const autoround_event *event_ = nullptr;
};

class Options {
 public:
  Status *create() noexcept { return detail::call(autoround_options_new, handle_.out()); }
  Status *setDevice(Text device) noexcept { return detail::call(autoround_options_set_device, raw(), device); }
  Status *setComputeDtype(Text dtype) noexcept { return detail::call(autoround_options_set_compute_dtype, raw(), dtype); }
  /* The 64 bits of the seed: Java has no unsigned numbers. */
  Status *setSeed(int64_t seed) noexcept { return detail::call(autoround_options_set_seed, raw(), static_cast<uint64_t>(seed)); }
  Status *setDeterministic(bool on) noexcept { return detail::call(autoround_options_set_deterministic, raw(), on); }
  Status *setMemoryLimit(Text device, int64_t bytes) noexcept {
    return detail::call(autoround_options_set_memory_limit, raw(), device, bytes);
  }
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

class Calibration {
 public:
  Status *create(int64_t sequence_length) noexcept { return detail::call(autoround_calibration_new, nullptr, sequence_length, handle_.out()); }
  Status *setTokenizer(Text path) noexcept { return detail::call(autoround_calibration_set_tokenizer, raw(), path); }
  Status *addTokens(const int64_t *ids, size_t count) noexcept { return detail::call(autoround_calibration_add_tokens, raw(), ids, count); }
  Status *addText(Text text) noexcept { return detail::call(autoround_calibration_add_text, raw(), text.data, text.size); }
  Status *addWindows(Text text, size_t limit, bool drop_last, NumberOut *added) noexcept {
    return counted(added, [&](size_t *count) {
      return detail::call(autoround_calibration_add_windows, raw(), text.data, text.size, limit, drop_last, count);
    });
  }
  /* field empty: the first that a line has. */
  Status *addJsonl(Text path, Text field, size_t limit, NumberOut *added) noexcept {
    return counted(added, [&](size_t *count) { return detail::call(autoround_calibration_add_jsonl, raw(), path, detail::optional(field), limit, count); });
  }
  Status *addFile(Text path, size_t limit, bool drop_last, NumberOut *added) noexcept {
    return counted(added, [&](size_t *count) { return detail::call(autoround_calibration_add_file, raw(), path, limit, drop_last, count); });
  }
  size_t sampleCount() const noexcept { return autoround_calibration_sample_count(raw()); }
  int64_t tokenCount() const noexcept { return autoround_calibration_token_count(raw()); }
  int64_t sequenceLength() const noexcept { return autoround_calibration_sequence_length(raw()); }
#ifndef SWIG
  autoround_calibration *raw() const noexcept { return handle_.get(); }
#endif
 private:
  template <class Add>
  static Status *counted(NumberOut *added, Add add) noexcept {
    size_t count = 0;
    Status *failed = add(&count);
    added->set(static_cast<int64_t>(count));
    return failed;
  }
  detail::Handle<autoround_calibration, autoround_calibration_free> handle_;
};

class Model;

class Recipe {
 public:
  Status *create() noexcept { return detail::call(autoround_recipe_new, handle_.out()); }
  Status *parse(Text text, Text syntax) noexcept { return detail::call(autoround_recipe_parse, text.data, text.size, syntax, handle_.out()); }
  Status *load(Text path) noexcept { return detail::call(autoround_recipe_load, path, handle_.out()); }
  Status *copyFrom(const Recipe *other) noexcept { return detail::call(autoround_recipe_clone, detail::raw(other), handle_.out()); }
  Status *setString(Text key, Text value) noexcept { return detail::call(autoround_recipe_set_string, raw(), key, value); }
  Status *setInt(Text key, int64_t value) noexcept { return detail::call(autoround_recipe_set_int, raw(), key, value); }
  Status *setDouble(Text key, double value) noexcept { return detail::call(autoround_recipe_set_double, raw(), key, value); }
  Status *setBool(Text key, bool value) noexcept { return detail::call(autoround_recipe_set_bool, raw(), key, value); }
  Status *append(Text key, Text value) noexcept { return detail::call(autoround_recipe_append, raw(), key, value); }
  Status *get(Text key, TextOut *out) const noexcept { return detail::call(autoround_recipe_get, raw(), key, out->out()); }
  /* model may be null. */
  inline Status *validate(const Model *model) const noexcept;
  Status *dump(Text syntax, TextOut *out) const noexcept { return detail::call(autoround_recipe_dump, raw(), syntax, out->out()); }
  static size_t keyCount() noexcept { return autoround_recipe_key_count(); }
  static const char *keyName(size_t index) noexcept { return autoround_recipe_key_name(index); }
  static const char *keyHelp(size_t index) noexcept { return autoround_recipe_key_help(index); }
#ifndef SWIG
  autoround_recipe *raw() const noexcept { return handle_.get(); }
#endif
 private:
  detail::Handle<autoround_recipe, autoround_recipe_free> handle_;
};

class Model {
 public:
  Status *open(Text directory) noexcept { return detail::call(autoround_model_open, nullptr, directory, nullptr, handle_.out()); }
  const char *architecture() const noexcept { return autoround_model_architecture(raw()); }
  int64_t parameterCount() const noexcept { return autoround_model_parameter_count(raw()); }
  int64_t byteSize() const noexcept { return autoround_model_byte_size(raw()); }
  size_t blockCount() const noexcept { return autoround_model_block_count(raw()); }
  const char *blockName(size_t block) const noexcept { return autoround_model_block_name(raw(), block); }
  size_t moduleCount() const noexcept { return autoround_model_module_count(raw()); }
  const char *moduleName(size_t module) const noexcept { return autoround_model_module_name(raw(), module); }
  const char *moduleClass(size_t module) const noexcept { return autoround_model_module_class(raw(), module); }
  int64_t moduleBlock(size_t module) const noexcept { return autoround_model_module_block(raw(), module); }
  int64_t moduleSize(size_t module, size_t dim) const noexcept { return autoround_model_module_size(raw(), module, dim); }
  Status *tensor(Text name, Tensor *out) const noexcept { return detail::call(autoround_model_tensor, raw(), name, out->out()); }
  /* data and options may be null. */
  Status *plan(const Recipe *recipe, const Calibration *data, const Options *options, TextOut *out) const noexcept {
    return detail::call(autoround_model_plan, raw(), detail::raw(recipe), detail::raw(data), detail::raw(options), out->out());
  }
  /* Nobody else uses options during the call. observer may be null. */
  Status *perplexity(const Calibration *data, Options *options, Observer *observer, NumberOut *out) noexcept {
    const Options::Callback callback(options, AUTOROUND_EVENT_PROGRESS, &observer);
    if (callback.failed()) return callback.failed();
    return detail::call(autoround_model_perplexity, raw(), detail::raw(data), detail::raw(options), out->out());
  }
#ifndef SWIG
  autoround_model *raw() const noexcept { return handle_.get(); }
#endif
 private:
  detail::Handle<autoround_model, autoround_model_free> handle_;
};

inline Status *Recipe::validate(const Model *model) const noexcept { return detail::call(autoround_recipe_validate, raw(), detail::raw(model)); }

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
