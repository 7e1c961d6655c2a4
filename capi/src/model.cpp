#include "session/model.hpp"

#include <ATen/ATen.h>

#include "checkpoint/tensor_info.hpp"
#include "device/device.hpp"
#include "guard.hpp"
#include "model/weight_source.hpp"

using namespace autoround::capi;
using autoround::Code;
using autoround::fail;
namespace ar = autoround;

namespace {

const ar::recipe::ModuleInfo* module_at(const autoround_model* model, size_t index) noexcept {
  return peek(model) && index < model->impl->modules().size() ? &model->impl->modules()[index] : nullptr;
}

/// perplexity computes in fp32 unless told otherwise.
at::ScalarType measuring_type(const autoround_options* options) {
  return options && options->impl.compute_dtype == "bf16" ? at::kBFloat16 : at::kFloat;
}

at::Device measuring_device(const autoround_options* options) {
  return options ? ar::device::parse(options->impl.device) : at::Device(at::kCPU);
}

at::Tensor read_tensor(const ar::checkpoint::Checkpoint& checkpoint, const std::string& name) {
  const ar::checkpoint::TensorInfo* info = checkpoint.find(name);
  if (!info) fail(Code::not_found, name, "the checkpoint has no tensor " + name);
  at::Tensor tensor = at::empty(info->shape, ar::model::torch_type(info->dtype));
  checkpoint.read(name, 0, {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()});
  return tensor;
}

}  // namespace

autoround_status autoround_model_open(autoround_context* context, const char* directory,
                                      const autoround_options* options, autoround_model** out,
                                      autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    const autoround_context* given = deref_or_null(context, "context");
    deref_or_null(options, "options");
    auto handle = std::make_unique<autoround_model>();
    handle->impl = ar::session::Model::open(text(directory, "directory"), given ? given->log : ar::Logger(),
                                            given ? given->threads : 0);
    *out = handle.release();
  });
}

const char* autoround_model_architecture(const autoround_model* model) noexcept {
  return peek(model) ? model->impl->spec().architecture.c_str() : "";
}
int64_t autoround_model_parameter_count(const autoround_model* model) noexcept {
  return peek(model) ? model->impl->parameter_count() : 0;
}
int64_t autoround_model_byte_size(const autoround_model* model) noexcept {
  return peek(model) ? static_cast<int64_t>(model->impl->checkpoint().byte_size()) : 0;
}
size_t autoround_model_block_count(const autoround_model* model) noexcept {
  return peek(model) ? model->impl->spec().layers.size() : 0;
}

const char* autoround_model_block_name(const autoround_model* model, size_t block) noexcept {
  if (!peek(model)) return "";
  for (const auto& module : model->impl->modules())
    if (module.block == static_cast<int64_t>(block) && module.class_name == model->impl->spec().layer_class)
      return module.name.c_str();
  return "";
}

size_t autoround_model_module_count(const autoround_model* model) noexcept {
  return peek(model) ? model->impl->modules().size() : 0;
}
const char* autoround_model_module_name(const autoround_model* model, size_t module) noexcept {
  const auto* info = module_at(model, module);
  return info ? info->name.c_str() : "";
}
const char* autoround_model_module_class(const autoround_model* model, size_t module) noexcept {
  const auto* info = module_at(model, module);
  return info ? info->class_name.c_str() : "";
}
int64_t autoround_model_module_block(const autoround_model* model, size_t module) noexcept {
  const auto* info = module_at(model, module);
  return info ? info->block : -1;
}
int64_t autoround_model_module_size(const autoround_model* model, size_t module, size_t dim) noexcept {
  const auto* info = module_at(model, module);
  return info && dim < info->shape.size() ? info->shape[dim] : 0;
}

autoround_status autoround_model_tensor(const autoround_model* model, const char* name, autoround_tensor** out,
                                        autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    *out = new_tensor(read_tensor(deref(model, "model").impl->checkpoint(), text(name, "name")));
  });
}

autoround_status autoround_model_perplexity(autoround_model* model, const autoround_calibration* data,
                                            const autoround_options* options, double* out,
                                            autoround_error** error) noexcept {
  return guarded(error, [&] {
    if (!out) fail(Code::invalid_argument, "out", "out is NULL");
    *out = 0.0;
    const auto& target = *deref(model, "model").impl;
    const auto& windows = deref(data, "data").impl;
    const autoround_options* chosen = deref_or_null(options, "options");
    const ar::CancelToken never;
    const ar::CancelToken& cancel = chosen && chosen->impl.cancel ? *chosen->impl.cancel : never;
    const auto on_layer = [&](std::size_t done, std::size_t total) {
      if (!chosen || !chosen->impl.on_event || !(chosen->impl.event_mask & AUTOROUND_EVENT_PROGRESS)) return;
      ar::session::Event event;
      event.fraction = static_cast<double>(done) / static_cast<double>(total);
      event.name = "perplexity";
      event.loss = std::numeric_limits<double>::quiet_NaN();
      if (!chosen->impl.on_event(event)) fail(Code::cancelled, "perplexity", "stopped by the event callback");
    };
    *out = target.perplexity(windows, measuring_type(chosen), measuring_device(chosen), cancel, on_layer).perplexity;
  });
}

autoround_status autoround_model_plan(const autoround_model* model, const autoround_recipe* recipe,
                                      const autoround_calibration* data, const autoround_options* options, char** out,
                                      autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    const autoround_calibration* windows = deref_or_null(data, "data");
    const autoround_options* chosen = deref_or_null(options, "options");
    *out = owned_string(ar::session::plan(*deref(model, "model").impl, deref(recipe, "recipe").impl,
                                          windows ? &windows->impl : nullptr,
                                          chosen ? chosen->impl : ar::session::Options()));
  });
}

void autoround_model_free(autoround_model* model) noexcept {
  if (peek(model)) delete model;
}
