/* What goes into a run: a checkpoint, a recipe, data. */
#ifndef AUTOROUND_FACADE_MODEL_HPP
#define AUTOROUND_FACADE_MODEL_HPP
#include "facade_options.hpp"

namespace autoround {

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
  Status *open(Text directory) noexcept {
    detail::Handle<autoround_context, autoround_context_free> context;
    if (Status *failed = detail::listened(&context)) return failed;
    return detail::call(autoround_model_open, context.get(), directory, nullptr, handle_.out());
  }
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
    const Observer::Listening listening(observer);
    return detail::call(autoround_model_perplexity, raw(), detail::raw(data), detail::raw(options), out->out());
  }
#ifndef SWIG
  autoround_model *raw() const noexcept { return handle_.get(); }
#endif
 private:
  detail::Handle<autoround_model, autoround_model_free> handle_;
};

inline Status *Recipe::validate(const Model *model) const noexcept { return detail::call(autoround_recipe_validate, raw(), detail::raw(model)); }

} /* namespace autoround */
#endif
