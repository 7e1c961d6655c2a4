/* A single layer of a host with model code of its own. */
#ifndef AUTOROUND_FACADE_LAYER_HPP
#define AUTOROUND_FACADE_LAYER_HPP
#include "facade_session.hpp"

namespace autoround {

class Layer {
 public:
  /* bias may be null. */
  Status *create(Text name, const Tensor *weight, const Tensor *bias) noexcept {
    detail::Handle<autoround_context, autoround_context_free> context;
    if (Status *failed = detail::listened(&context)) return failed;
    return detail::call(autoround_layer_new, context.get(), name, detail::raw(weight), detail::raw(bias), handle_.out());
  }
  /* targets may be null. */
  Status *addInputs(const Tensor *inputs, const Tensor *targets) noexcept {
    return detail::call(autoround_layer_add_inputs, raw(), detail::raw(inputs), detail::raw(targets));
  }
  size_t sampleCount() const noexcept { return autoround_layer_sample_count(raw()); }
  int64_t tokenCount() const noexcept { return autoround_layer_token_count(raw()); }
  /* events: the kinds that the observer, which may be null, is told of. Nobody else uses options during the call. */
  Status *tune(const Recipe *recipe, Options *options, int events, Observer *observer, Result *out) const noexcept {
    const Options::Callback callback(options, events, &observer);
    if (callback.failed()) return callback.failed();
    const Observer::Listening listening(observer);
    return detail::call(autoround_layer_tune, raw(), detail::raw(recipe), detail::raw(options), out->out());
  }
#ifndef SWIG
  autoround_layer *raw() const noexcept { return handle_.get(); }
#endif
 private:
  detail::Handle<autoround_layer, autoround_layer_free> handle_;
};

} /* namespace autoround */
#endif
