#include "session/session.hpp"

#include "guard.hpp"

using namespace autoround::capi;
using autoround::Code;
using autoround::fail;
namespace ar = autoround;

namespace {

/// The arguments that session_new and oneshot share, copied out of their handles: what the host changes later does not
/// matter.
struct RunArguments {
  RunArguments(autoround_model* model_handle, const autoround_recipe* recipe_handle,
               const autoround_calibration* data_handle, const autoround_options* options_handle)
      : model(deref(model_handle, "model").impl), recipe(deref(recipe_handle, "recipe").impl) {
    if (const auto* windows = deref_or_null(data_handle, "data"))
      data = std::make_shared<const ar::calibration::SampleSet>(windows->impl);
    if (const auto* chosen = deref_or_null(options_handle, "options")) options = chosen->impl;
  }
  std::shared_ptr<const ar::session::Model> model;
  ar::recipe::Recipe recipe;
  std::shared_ptr<const ar::calibration::SampleSet> data;
  ar::session::Options options;
};

void give(autoround_result** out, std::shared_ptr<const ar::session::Result> result) {
  if (!out) return;
  auto handle = std::make_unique<autoround_result>();
  handle->impl = std::move(result);
  *out = handle.release();
}

}  // namespace

autoround_status autoround_session_new(autoround_model* model, const autoround_recipe* recipe,
                                       const autoround_calibration* data, const autoround_options* options,
                                       autoround_session** out, autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    RunArguments run(model, recipe, data, options);
    auto handle = std::make_unique<autoround_session>();
    handle->impl = std::make_unique<ar::session::Session>(std::move(run.model), std::move(run.recipe),
                                                          std::move(run.data), std::move(run.options));
    *out = handle.release();
  });
}

autoround_state autoround_session_state(const autoround_session* session) noexcept {
  return peek(session) ? static_cast<autoround_state>(session->impl->state()) : AUTOROUND_STATE_FAILED;
}

autoround_status autoround_session_initialize(autoround_session* session, autoround_error** error) noexcept {
  return guarded(error, [&] { deref(session, "session").impl->initialize(); });
}

autoround_status autoround_session_start(autoround_session* session, autoround_error** error) noexcept {
  return guarded(error, [&] { deref(session, "session").impl->start(); });
}

autoround_status autoround_session_next_block(autoround_session* session, size_t* block,
                                              autoround_error** error) noexcept {
  return guarded(error, [&]() -> autoround_status {
    if (block) *block = 0;
    const auto reached = deref(session, "session").impl->next_block();
    if (!reached) return AUTOROUND_DONE;
    if (block) *block = *reached;
    return AUTOROUND_OK;
  });
}

autoround_status autoround_session_sequential_epoch_end(autoround_session* session, autoround_error** error) noexcept {
  return guarded(error, [&] { deref(session, "session").impl->sequential_epoch_end(); });
}

autoround_status autoround_session_sequential_epoch_end_modules(autoround_session* session,
                                                                const char* const* module_names, size_t count,
                                                                autoround_error** error) noexcept {
  return guarded(error, [&] {
    autoround_session& target = deref(session, "session");
    if (!module_names && count > 0) fail(Code::invalid_argument, "module_names", "module_names is NULL");
    std::vector<std::string> names;
    for (size_t i = 0; i < count; ++i) names.push_back(text(module_names[i], "module_names"));
    target.impl->sequential_epoch_end(names);
  });
}

autoround_status autoround_session_end(autoround_session* session, autoround_error** error) noexcept {
  return guarded(error, [&] { deref(session, "session").impl->end(); });
}

autoround_status autoround_session_finalize(autoround_session* session, autoround_result** out,
                                            autoround_error** error) noexcept {
  return guarded(error, [&] {
    if (out) *out = nullptr;
    give(out, deref(session, "session").impl->finalize());
  });
}

void autoround_session_free(autoround_session* session) noexcept {
  if (peek(session)) delete session;
}

autoround_status autoround_oneshot(autoround_model* model, const autoround_recipe* recipe,
                                   const autoround_calibration* data, const autoround_options* options,
                                   autoround_result** out, autoround_error** error) noexcept {
  return guarded(error, [&] {
    if (out) *out = nullptr;
    RunArguments run(model, recipe, data, options);
    give(out, ar::session::oneshot(std::move(run.model), std::move(run.recipe), std::move(run.data),
                                   std::move(run.options)));
  });
}
