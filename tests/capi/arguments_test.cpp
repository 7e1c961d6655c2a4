#include <functional>

#include "host.hpp"

// Every pointer argument of every fallible function, NULL one at a time: INVALID_ARGUMENT, out-parameters NULL, no
// crash.

namespace {

struct Case {
  const char* name;
  std::function<autoround_status(autoround_error**)> call;
};

void expect_invalid(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    INFO(c.name);
    const size_t handles = autoround_live_handles(nullptr);
    autoround_error* error = nullptr;
    CHECK(c.call(&error) == AUTOROUND_ERROR_INVALID_ARGUMENT);
    CHECK(autoround_error_status(error) == AUTOROUND_ERROR_INVALID_ARGUMENT);
    CHECK(std::string(autoround_error_subject(error)) != "");
    autoround_error_free(error);
    CHECK(c.call(nullptr) == AUTOROUND_ERROR_INVALID_ARGUMENT);  // the error object itself may be NULL
    CHECK(autoround_live_handles(nullptr) == handles);
  }
}

}  // namespace

TEST_CASE("arguments: NULL for each pointer of context, recipe, options", "[capi][arguments]") {
  const auto context = host::make<host::Context>(autoround_context_new);
  const auto recipe_owner = host::make<host::Recipe>(autoround_recipe_new);
  const auto options_owner = host::make<host::Options>(autoround_options_new);
  autoround_recipe* const r = recipe_owner.get();
  autoround_options* const o = options_owner.get();
  autoround_recipe* out = nullptr;
  char* text = nullptr;
  expect_invalid({
      {"context_new out", [&](auto e) { return autoround_context_new(nullptr, e); }},
      {"context_set_log context",
       [&](auto e) { return autoround_context_set_log(nullptr, 2, nullptr, nullptr, nullptr, e); }},
      {"context_set_threads context", [&](auto e) { return autoround_context_set_threads(nullptr, 1, e); }},
      {"context_set_threads -1", [&](auto e) { return autoround_context_set_threads(context.get(), -1, e); }},
      {"context_set_threads 1e6", [&](auto e) { return autoround_context_set_threads(context.get(), 1000000, e); }},
      {"context_set_log level",
       [&](auto e) { return autoround_context_set_log(context.get(), 17, nullptr, nullptr, nullptr, e); }},
      {"recipe_new out", [&](auto e) { return autoround_recipe_new(nullptr, e); }},
      {"recipe_parse text", [&](auto e) { return autoround_recipe_parse(nullptr, 3, "toml", &out, e); }},
      {"recipe_parse syntax", [&](auto e) { return autoround_recipe_parse("", 0, nullptr, &out, e); }},
      {"recipe_parse unknown syntax", [&](auto e) { return autoround_recipe_parse("", 0, "xml", &out, e); }},
      {"recipe_parse out", [&](auto e) { return autoround_recipe_parse("", 0, "toml", nullptr, e); }},
      {"recipe_load path", [&](auto e) { return autoround_recipe_load(nullptr, &out, e); }},
      {"recipe_load out", [&](auto e) { return autoround_recipe_load("a.toml", nullptr, e); }},
      {"recipe_clone recipe", [&](auto e) { return autoround_recipe_clone(nullptr, &out, e); }},
      {"recipe_clone out", [&](auto e) { return autoround_recipe_clone(r, nullptr, e); }},
      {"recipe_set_string recipe", [&](auto e) { return autoround_recipe_set_string(nullptr, "scheme", "W4A16", e); }},
      {"recipe_set_string key", [&](auto e) { return autoround_recipe_set_string(r, nullptr, "W4A16", e); }},
      {"recipe_set_string value", [&](auto e) { return autoround_recipe_set_string(r, "scheme", nullptr, e); }},
      {"recipe_set_int recipe", [&](auto e) { return autoround_recipe_set_int(nullptr, "iters", 1, e); }},
      {"recipe_set_int key", [&](auto e) { return autoround_recipe_set_int(r, nullptr, 1, e); }},
      {"recipe_set_double recipe", [&](auto e) { return autoround_recipe_set_double(nullptr, "lr", 0.1, e); }},
      {"recipe_set_double key", [&](auto e) { return autoround_recipe_set_double(r, nullptr, 0.1, e); }},
      {"recipe_set_bool recipe", [&](auto e) { return autoround_recipe_set_bool(nullptr, "weights.symmetric", 1, e); }},
      {"recipe_set_bool key", [&](auto e) { return autoround_recipe_set_bool(r, nullptr, 1, e); }},
      {"recipe_append recipe", [&](auto e) { return autoround_recipe_append(nullptr, "ignore", "x", e); }},
      {"recipe_append key", [&](auto e) { return autoround_recipe_append(r, nullptr, "x", e); }},
      {"recipe_append value", [&](auto e) { return autoround_recipe_append(r, "ignore", nullptr, e); }},
      {"recipe_get recipe", [&](auto e) { return autoround_recipe_get(nullptr, "iters", &text, e); }},
      {"recipe_get key", [&](auto e) { return autoround_recipe_get(r, nullptr, &text, e); }},
      {"recipe_get out", [&](auto e) { return autoround_recipe_get(r, "iters", nullptr, e); }},
      {"recipe_validate recipe", [&](auto e) { return autoround_recipe_validate(nullptr, nullptr, e); }},
      {"recipe_dump recipe", [&](auto e) { return autoround_recipe_dump(nullptr, "toml", &text, e); }},
      {"recipe_dump syntax", [&](auto e) { return autoround_recipe_dump(r, nullptr, &text, e); }},
      {"recipe_dump out", [&](auto e) { return autoround_recipe_dump(r, "toml", nullptr, e); }},
      {"options_new out", [&](auto e) { return autoround_options_new(nullptr, e); }},
      {"options_set_device options", [&](auto e) { return autoround_options_set_device(nullptr, "cpu", e); }},
      {"options_set_device device", [&](auto e) { return autoround_options_set_device(o, nullptr, e); }},
      {"options_set_device tpu", [&](auto e) { return autoround_options_set_device(o, "tpu", e); }},
      {"options_set_device empty", [&](auto e) { return autoround_options_set_device(o, "", e); }},
      {"options_set_compute_dtype options",
       [&](auto e) { return autoround_options_set_compute_dtype(nullptr, "bf16", e); }},
      {"options_set_compute_dtype dtype", [&](auto e) { return autoround_options_set_compute_dtype(o, nullptr, e); }},
      {"options_set_compute_dtype int8", [&](auto e) { return autoround_options_set_compute_dtype(o, "int8", e); }},
      {"options_set_seed options", [&](auto e) { return autoround_options_set_seed(nullptr, 1, e); }},
      {"options_set_seed 2^63", [&](auto e) { return autoround_options_set_seed(o, uint64_t{1} << 63, e); }},
      {"options_set_seed 2^64 - 1", [&](auto e) { return autoround_options_set_seed(o, UINT64_MAX, e); }},
      {"options_set_deterministic options", [&](auto e) { return autoround_options_set_deterministic(nullptr, 1, e); }},
      {"options_set_resume options", [&](auto e) { return autoround_options_set_resume(nullptr, 1, e); }},
      {"options_set_memory_limit options",
       [&](auto e) { return autoround_options_set_memory_limit(nullptr, "cpu", 1, e); }},
      {"options_set_memory_limit device", [&](auto e) { return autoround_options_set_memory_limit(o, nullptr, 1, e); }},
      {"options_set_memory_limit tpu", [&](auto e) { return autoround_options_set_memory_limit(o, "tpu", 1, e); }},
      {"options_set_memory_limit negative",
       [&](auto e) { return autoround_options_set_memory_limit(o, "cpu", -1, e); }},
      {"options_set_output options",
       [&](auto e) { return autoround_options_set_output(nullptr, "d", "compressed-tensors", e); }},
      {"options_set_output directory",
       [&](auto e) { return autoround_options_set_output(o, nullptr, "compressed-tensors", e); }},
      {"options_set_output empty directory",
       [&](auto e) { return autoround_options_set_output(o, "", "compressed-tensors", e); }},
      {"options_set_output format", [&](auto e) { return autoround_options_set_output(o, "d", nullptr, e); }},
      {"options_set_output empty format", [&](auto e) { return autoround_options_set_output(o, "d", "", e); }},
      {"options_set_cancel options", [&](auto e) { return autoround_options_set_cancel(nullptr, nullptr, e); }},
      {"options_set_callback options",
       [&](auto e) { return autoround_options_set_callback(nullptr, 1, nullptr, nullptr, nullptr, e); }},
  });
  CHECK(out == nullptr);
  CHECK(text == nullptr);
}

TEST_CASE("arguments: NULL for each pointer of model, calibration, session, result, tensor", "[capi][arguments]") {
  const host::Toy toy;
  autoround_model* const m = toy.model.get();
  const autoround_recipe* const r = toy.recipe.get();
  autoround_calibration* const d = toy.data.get();
  const host::Session session_owner = toy.session();
  autoround_session* const s = session_owner.get();
  const host::Result result = toy.oneshot();
  const auto tensor =
      host::make<host::Tensor>(autoround_model_tensor, static_cast<const autoround_model*>(m), "model.norm.weight");
  const auto matrix = host::make<host::Tensor>(autoround_model_tensor, static_cast<const autoround_model*>(m),
                                               "model.layers.0.mlp.up_proj.weight");
  const autoround_tensor* const w = matrix.get();
  const auto layer_owner = host::make<host::Layer>(autoround_layer_new, static_cast<autoround_context*>(nullptr), "x",
                                                   w, static_cast<const autoround_tensor*>(nullptr));
  autoround_layer* const l = layer_owner.get();
  autoround_layer* layer = nullptr;
  const int64_t ids[] = {1, 2};
  autoround_model* model = nullptr;
  autoround_calibration* data = nullptr;
  autoround_session* session = nullptr;
  autoround_result* none = nullptr;
  autoround_tensor* part = nullptr;
  DLManagedTensorVersioned* capsule = nullptr;
  char* text = nullptr;
  double value = 1.0;
  char bytes[4] = {};
  const char* const null_name[] = {nullptr};
  expect_invalid({
      {"model_open directory", [&](auto e) { return autoround_model_open(nullptr, nullptr, nullptr, &model, e); }},
      {"model_open out", [&](auto e) { return autoround_model_open(nullptr, "d", nullptr, nullptr, e); }},
      {"model_tensor model", [&](auto e) { return autoround_model_tensor(nullptr, "x", &part, e); }},
      {"model_tensor name", [&](auto e) { return autoround_model_tensor(m, nullptr, &part, e); }},
      {"model_tensor out", [&](auto e) { return autoround_model_tensor(m, "x", nullptr, e); }},
      {"model_perplexity model", [&](auto e) { return autoround_model_perplexity(nullptr, d, nullptr, &value, e); }},
      {"model_perplexity data", [&](auto e) { return autoround_model_perplexity(m, nullptr, nullptr, &value, e); }},
      {"model_perplexity out", [&](auto e) { return autoround_model_perplexity(m, d, nullptr, nullptr, e); }},
      {"model_plan model", [&](auto e) { return autoround_model_plan(nullptr, r, nullptr, nullptr, &text, e); }},
      {"model_plan recipe", [&](auto e) { return autoround_model_plan(m, nullptr, nullptr, nullptr, &text, e); }},
      {"model_plan out", [&](auto e) { return autoround_model_plan(m, r, nullptr, nullptr, nullptr, e); }},
      {"calibration_new out", [&](auto e) { return autoround_calibration_new(nullptr, 8, nullptr, e); }},
      {"calibration_new length 0", [&](auto e) { return autoround_calibration_new(nullptr, 0, &data, e); }},
      {"calibration_new length 131073", [&](auto e) { return autoround_calibration_new(nullptr, 131073, &data, e); }},
      {"calibration_set_tokenizer data", [&](auto e) { return autoround_calibration_set_tokenizer(nullptr, "t", e); }},
      {"calibration_set_tokenizer path", [&](auto e) { return autoround_calibration_set_tokenizer(d, nullptr, e); }},
      {"calibration_add_tokens data", [&](auto e) { return autoround_calibration_add_tokens(nullptr, ids, 2, e); }},
      {"calibration_add_tokens ids", [&](auto e) { return autoround_calibration_add_tokens(d, nullptr, 2, e); }},
      {"calibration_add_tokens none", [&](auto e) { return autoround_calibration_add_tokens(d, ids, 0, e); }},
      {"calibration_add_text data", [&](auto e) { return autoround_calibration_add_text(nullptr, "x", 1, e); }},
      {"calibration_add_text text", [&](auto e) { return autoround_calibration_add_text(d, nullptr, 1, e); }},
      {"calibration_add_windows data",
       [&](auto e) { return autoround_calibration_add_windows(nullptr, "x", 1, 0, 0, nullptr, e); }},
      {"calibration_add_windows text",
       [&](auto e) { return autoround_calibration_add_windows(d, nullptr, 1, 0, 0, nullptr, e); }},
      {"calibration_add_jsonl data",
       [&](auto e) { return autoround_calibration_add_jsonl(nullptr, "p", nullptr, 0, nullptr, e); }},
      {"calibration_add_jsonl path",
       [&](auto e) { return autoround_calibration_add_jsonl(d, nullptr, nullptr, 0, nullptr, e); }},
      {"calibration_add_file data",
       [&](auto e) { return autoround_calibration_add_file(nullptr, "p", 0, 0, nullptr, e); }},
      {"calibration_add_file path",
       [&](auto e) { return autoround_calibration_add_file(d, nullptr, 0, 0, nullptr, e); }},
      {"session_new model", [&](auto e) { return autoround_session_new(nullptr, r, d, nullptr, &session, e); }},
      {"session_new recipe", [&](auto e) { return autoround_session_new(m, nullptr, d, nullptr, &session, e); }},
      {"session_new out", [&](auto e) { return autoround_session_new(m, r, d, nullptr, nullptr, e); }},
      {"session_initialize", [&](auto e) { return autoround_session_initialize(nullptr, e); }},
      {"session_start", [&](auto e) { return autoround_session_start(nullptr, e); }},
      {"session_next_block", [&](auto e) { return autoround_session_next_block(nullptr, nullptr, e); }},
      {"session_sequential_epoch_end", [&](auto e) { return autoround_session_sequential_epoch_end(nullptr, e); }},
      {"session_..._modules session",
       [&](auto e) { return autoround_session_sequential_epoch_end_modules(nullptr, nullptr, 0, e); }},
      {"session_..._modules names",
       [&](auto e) { return autoround_session_sequential_epoch_end_modules(s, nullptr, 1, e); }},
      {"session_..._modules name",
       [&](auto e) { return autoround_session_sequential_epoch_end_modules(s, null_name, 1, e); }},
      {"session_end", [&](auto e) { return autoround_session_end(nullptr, e); }},
      {"session_finalize", [&](auto e) { return autoround_session_finalize(nullptr, &none, e); }},
      {"oneshot model", [&](auto e) { return autoround_oneshot(nullptr, r, d, nullptr, &none, e); }},
      {"oneshot recipe", [&](auto e) { return autoround_oneshot(m, nullptr, d, nullptr, &none, e); }},
      {"result_layer_tensor result",
       [&](auto e) { return autoround_result_layer_tensor(nullptr, 0, "scales", &part, e); }},
      {"result_layer_tensor part",
       [&](auto e) { return autoround_result_layer_tensor(result.get(), 0, nullptr, &part, e); }},
      {"result_layer_tensor out",
       [&](auto e) { return autoround_result_layer_tensor(result.get(), 0, "scales", nullptr, e); }},
      {"result_report result", [&](auto e) { return autoround_result_report(nullptr, &text, e); }},
      {"result_report out", [&](auto e) { return autoround_result_report(result.get(), nullptr, e); }},
      {"result_report_html result", [&](auto e) { return autoround_result_report_html(nullptr, &text, e); }},
      {"result_report_html out", [&](auto e) { return autoround_result_report_html(result.get(), nullptr, e); }},
      {"event_input event", [&](auto e) { return autoround_event_input(nullptr, 0, &part, e); }},
      {"tensor_copy tensor", [&](auto e) { return autoround_tensor_copy(nullptr, bytes, 4, e); }},
      {"tensor_copy bytes", [&](auto e) { return autoround_tensor_copy(tensor.get(), nullptr, 128, e); }},
      {"tensor_copy length", [&](auto e) { return autoround_tensor_copy(tensor.get(), bytes, 4, e); }},
      {"tensor_to_dlpack tensor", [&](auto e) { return autoround_tensor_to_dlpack(nullptr, &capsule, e); }},
      {"tensor_new dtype", [&](auto e) { return autoround_tensor_new(nullptr, ids, 1, bytes, 4, &part, e); }},
      {"tensor_new sizes", [&](auto e) { return autoround_tensor_new("F32", nullptr, 1, bytes, 4, &part, e); }},
      {"tensor_new data", [&](auto e) { return autoround_tensor_new("F32", ids, 1, nullptr, 4, &part, e); }},
      {"tensor_new out", [&](auto e) { return autoround_tensor_new("F32", ids, 1, bytes, 4, nullptr, e); }},
      {"tensor_from_dlpack managed", [&](auto e) { return autoround_tensor_from_dlpack(nullptr, &part, e); }},
      {"tensor_from_dlpack out", [&](auto e) { return autoround_tensor_from_dlpack(capsule, nullptr, e); }},
      {"layer_new name", [&](auto e) { return autoround_layer_new(nullptr, nullptr, w, nullptr, &layer, e); }},
      {"layer_new weight", [&](auto e) { return autoround_layer_new(nullptr, "x", nullptr, nullptr, &layer, e); }},
      {"layer_new out", [&](auto e) { return autoround_layer_new(nullptr, "x", w, nullptr, nullptr, e); }},
      {"layer_add_inputs layer", [&](auto e) { return autoround_layer_add_inputs(nullptr, w, nullptr, e); }},
      {"layer_add_inputs inputs", [&](auto e) { return autoround_layer_add_inputs(l, nullptr, nullptr, e); }},
      {"layer_tune layer", [&](auto e) { return autoround_layer_tune(nullptr, r, nullptr, &none, e); }},
      {"layer_tune recipe", [&](auto e) { return autoround_layer_tune(l, nullptr, nullptr, &none, e); }},
      {"layer_tune out", [&](auto e) { return autoround_layer_tune(l, r, nullptr, nullptr, e); }},
      {"tensor_to_dlpack out", [&](auto e) { return autoround_tensor_to_dlpack(tensor.get(), nullptr, e); }},
  });
  CHECK(model == nullptr);
  CHECK(data == nullptr);
  CHECK(session == nullptr);
  CHECK(none == nullptr);
  CHECK(part == nullptr);
  CHECK(capsule == nullptr);
  CHECK(layer == nullptr);
  CHECK(text == nullptr);
  CHECK(autoround_session_state(s) == AUTOROUND_STATE_CREATED);
}

TEST_CASE("arguments: a handle of another type is an error, not a crash", "[capi][arguments]") {
  const auto recipe = host::make<host::Recipe>(autoround_recipe_new);
  auto* const not_a_session = reinterpret_cast<autoround_session*>(recipe.get());
  CHECK(host::failure(autoround_session_initialize, not_a_session).status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(autoround_session_state(not_a_session) == AUTOROUND_STATE_FAILED);
  autoround_session_free(not_a_session);  // ignored
  CHECK(autoround_live_handles("recipe") == 1);
}

TEST_CASE("arguments: getters without a handle or beyond the end", "[capi][arguments]") {
  const host::Toy toy;
  CHECK(autoround_model_block_count(nullptr) == 0);
  CHECK(std::string(autoround_model_architecture(nullptr)) == "");
  CHECK(std::string(autoround_model_block_name(toy.model.get(), 2)) == "");
  CHECK(std::string(autoround_model_module_name(toy.model.get(), SIZE_MAX)) == "");
  CHECK(std::string(autoround_model_module_class(nullptr, 0)) == "");
  CHECK(autoround_model_module_block(toy.model.get(), SIZE_MAX) == -1);
  CHECK(autoround_model_module_size(toy.model.get(), 0, SIZE_MAX) == 0);
  CHECK(autoround_calibration_sample_count(nullptr) == 0);
  CHECK(autoround_result_block_count(nullptr) == 0);
  CHECK(std::string(autoround_result_layer_name(nullptr, 0)) == "");
  CHECK(autoround_tensor_data(nullptr) == nullptr);
  CHECK(autoround_tensor_rank(nullptr) == 0);
  CHECK(std::string(autoround_tensor_dtype(nullptr)) == "");
  CHECK(autoround_error_status(nullptr) == AUTOROUND_OK);
  CHECK(std::string(autoround_error_message(nullptr)) == "");
  CHECK(std::string(autoround_status_name(12345)) == "AUTOROUND_UNKNOWN");
}
