#include "session/layer.hpp"

#include "guard.hpp"

using namespace autoround::capi;
namespace ar = autoround;

namespace {

at::Tensor tensor_or_undefined(const autoround_tensor* tensor, const char* parameter) {
  return tensor ? deref(tensor, parameter).impl : at::Tensor();
}

}  // namespace

autoround_status autoround_layer_new(autoround_context* context, const char* name, const autoround_tensor* weight,
                                     const autoround_tensor* bias, autoround_layer** out,
                                     autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    const autoround_context* given = deref_or_null(context, "context");
    ar::session::Layer layer(text(name, "name"), deref(weight, "weight").impl, tensor_or_undefined(bias, "bias"),
                             given ? given->log : ar::Logger(), given ? given->threads : 0);
    *out = new autoround_layer{{}, std::move(layer)};
  });
}

autoround_status autoround_layer_add_inputs(autoround_layer* layer, const autoround_tensor* inputs,
                                            const autoround_tensor* targets, autoround_error** error) noexcept {
  return guarded(error, [&] {
    autoround_layer& target = deref(layer, "layer");
    target.impl.add_inputs(deref(inputs, "inputs").impl, tensor_or_undefined(targets, "targets"));
  });
}

size_t autoround_layer_sample_count(const autoround_layer* layer) noexcept {
  return peek(layer) ? static_cast<size_t>(layer->impl.sample_count()) : 0;
}
int64_t autoround_layer_token_count(const autoround_layer* layer) noexcept {
  return peek(layer) ? layer->impl.token_count() : 0;
}

autoround_status autoround_layer_tune(const autoround_layer* layer, const autoround_recipe* recipe,
                                      const autoround_options* options, autoround_result** out,
                                      autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    const ar::session::Layer& source = deref(layer, "layer").impl;
    const autoround_options* chosen = deref_or_null(options, "options");
    auto handle = std::make_unique<autoround_result>();
    handle->impl = source.tune(deref(recipe, "recipe").impl, chosen ? chosen->impl : ar::session::Options());
    *out = handle.release();
  });
}

void autoround_layer_free(autoround_layer* layer) noexcept {
  if (peek(layer)) delete layer;
}
