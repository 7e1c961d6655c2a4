//! Every function of `autoround.h`, in its order. `tests/header.rs` compiles C prototypes made from this file against the
//! header: a difference in a type, in `const` or in the number of parameters fails there.

use core::ffi::{c_char, c_void};

use crate::*;

#[rustfmt::skip] // a line a function, as in the header
unsafe extern "C" {
    // version and features
    pub fn autoround_version_number() -> u32;
    pub fn autoround_version_string() -> *const c_char;
    pub fn autoround_abi_version() -> u32;
    pub fn autoround_has_feature(name: *const c_char) -> i32;
    pub fn autoround_build_info() -> *const c_char;
    pub fn autoround_scheme_count() -> usize;
    pub fn autoround_scheme_name(index: usize) -> *const c_char;
    pub fn autoround_format_count() -> usize;
    pub fn autoround_format_name(index: usize) -> *const c_char;
    pub fn autoround_live_handles(kind: *const c_char) -> usize;

    // errors and owned strings
    pub fn autoround_status_name(status: autoround_status) -> *const c_char;
    pub fn autoround_error_status(error: *const autoround_error) -> autoround_status;
    pub fn autoround_error_message(error: *const autoround_error) -> *const c_char;
    pub fn autoround_error_subject(error: *const autoround_error) -> *const c_char;
    pub fn autoround_error_line(error: *const autoround_error) -> i32;
    pub fn autoround_error_column(error: *const autoround_error) -> i32;
    pub fn autoround_error_free(error: *mut autoround_error);
    pub fn autoround_string_free(text: *mut c_char);

    // context
    pub fn autoround_context_new(out: *mut *mut autoround_context, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_context_set_log(context: *mut autoround_context, level: i32, callback: autoround_log_fn, user_data: *mut c_void, release: autoround_release_fn, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_context_set_threads(context: *mut autoround_context, intra_op: i32, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_context_free(context: *mut autoround_context);
    pub fn autoround_cancel_new() -> *mut autoround_cancel;
    pub fn autoround_cancel_request(cancel: *mut autoround_cancel);
    pub fn autoround_cancel_is_requested(cancel: *const autoround_cancel) -> i32;
    pub fn autoround_cancel_free(cancel: *mut autoround_cancel);

    // recipe
    pub fn autoround_recipe_new(out: *mut *mut autoround_recipe, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_recipe_parse(text: *const c_char, length: usize, syntax: *const c_char, out: *mut *mut autoround_recipe, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_recipe_load(path: *const c_char, out: *mut *mut autoround_recipe, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_recipe_clone(recipe: *const autoround_recipe, out: *mut *mut autoround_recipe, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_recipe_set_string(recipe: *mut autoround_recipe, key: *const c_char, value: *const c_char, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_recipe_set_int(recipe: *mut autoround_recipe, key: *const c_char, value: i64, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_recipe_set_double(recipe: *mut autoround_recipe, key: *const c_char, value: f64, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_recipe_set_bool(recipe: *mut autoround_recipe, key: *const c_char, value: i32, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_recipe_append(recipe: *mut autoround_recipe, key: *const c_char, value: *const c_char, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_recipe_key_count() -> usize;
    pub fn autoround_recipe_key_name(index: usize) -> *const c_char;
    pub fn autoround_recipe_key_help(index: usize) -> *const c_char;
    pub fn autoround_recipe_get(recipe: *const autoround_recipe, key: *const c_char, out: *mut *mut c_char, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_recipe_validate(recipe: *const autoround_recipe, model: *const autoround_model, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_recipe_dump(recipe: *const autoround_recipe, syntax: *const c_char, out: *mut *mut c_char, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_recipe_free(recipe: *mut autoround_recipe);

    // model
    pub fn autoround_model_open(context: *mut autoround_context, directory: *const c_char, options: *const autoround_options, out: *mut *mut autoround_model, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_model_architecture(model: *const autoround_model) -> *const c_char;
    pub fn autoround_model_parameter_count(model: *const autoround_model) -> i64;
    pub fn autoround_model_byte_size(model: *const autoround_model) -> i64;
    pub fn autoround_model_block_count(model: *const autoround_model) -> usize;
    pub fn autoround_model_block_name(model: *const autoround_model, block: usize) -> *const c_char;
    pub fn autoround_model_module_count(model: *const autoround_model) -> usize;
    pub fn autoround_model_module_name(model: *const autoround_model, module: usize) -> *const c_char;
    pub fn autoround_model_module_class(model: *const autoround_model, module: usize) -> *const c_char;
    pub fn autoround_model_module_block(model: *const autoround_model, module: usize) -> i64;
    pub fn autoround_model_module_size(model: *const autoround_model, module: usize, dim: usize) -> i64;
    pub fn autoround_model_tensor(model: *const autoround_model, name: *const c_char, out: *mut *mut autoround_tensor, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_model_perplexity(model: *mut autoround_model, data: *const autoround_calibration, options: *const autoround_options, out: *mut f64, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_model_plan(model: *const autoround_model, recipe: *const autoround_recipe, data: *const autoround_calibration, options: *const autoround_options, out: *mut *mut c_char, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_model_free(model: *mut autoround_model);

    // calibration data
    pub fn autoround_calibration_new(context: *mut autoround_context, sequence_length: i64, out: *mut *mut autoround_calibration, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_calibration_set_tokenizer(data: *mut autoround_calibration, tokenizer_json_path: *const c_char, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_calibration_add_tokens(data: *mut autoround_calibration, ids: *const i64, count: usize, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_calibration_add_text(data: *mut autoround_calibration, text: *const c_char, length: usize, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_calibration_add_windows(data: *mut autoround_calibration, text: *const c_char, length: usize, limit: usize, drop_last: i32, added: *mut usize, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_calibration_add_jsonl(data: *mut autoround_calibration, path: *const c_char, field: *const c_char, limit: usize, added: *mut usize, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_calibration_add_file(data: *mut autoround_calibration, path: *const c_char, limit: usize, drop_last: i32, added: *mut usize, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_calibration_sample_count(data: *const autoround_calibration) -> usize;
    pub fn autoround_calibration_token_count(data: *const autoround_calibration) -> i64;
    pub fn autoround_calibration_sequence_length(data: *const autoround_calibration) -> i64;
    pub fn autoround_calibration_free(data: *mut autoround_calibration);

    // options
    pub fn autoround_options_new(out: *mut *mut autoround_options, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_options_set_device(options: *mut autoround_options, device: *const c_char, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_options_set_compute_dtype(options: *mut autoround_options, dtype: *const c_char, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_options_set_seed(options: *mut autoround_options, seed: u64, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_options_set_deterministic(options: *mut autoround_options, on: i32, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_options_set_memory_limit(options: *mut autoround_options, device: *const c_char, bytes: i64, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_options_set_output(options: *mut autoround_options, directory: *const c_char, format: *const c_char, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_options_set_resume(options: *mut autoround_options, on: i32, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_options_set_cancel(options: *mut autoround_options, cancel: *mut autoround_cancel, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_options_set_callback(options: *mut autoround_options, event_mask: i32, callback: autoround_event_fn, user_data: *mut c_void, release: autoround_release_fn, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_options_free(options: *mut autoround_options);

    // events
    pub fn autoround_event_what(event: *const autoround_event) -> autoround_event_kind;
    pub fn autoround_event_fraction(event: *const autoround_event) -> f64;
    pub fn autoround_event_block(event: *const autoround_event) -> i64;
    pub fn autoround_event_name(event: *const autoround_event) -> *const c_char;
    pub fn autoround_event_iteration(event: *const autoround_event) -> i64;
    pub fn autoround_event_loss(event: *const autoround_event) -> f64;
    pub fn autoround_event_input_count(event: *const autoround_event) -> usize;
    pub fn autoround_event_input(event: *const autoround_event, index: usize, out: *mut *mut autoround_tensor, error: *mut *mut autoround_error) -> autoround_status;

    // session
    pub fn autoround_session_new(model: *mut autoround_model, recipe: *const autoround_recipe, data: *const autoround_calibration, options: *const autoround_options, out: *mut *mut autoround_session, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_session_state(session: *const autoround_session) -> autoround_state;
    pub fn autoround_session_initialize(session: *mut autoround_session, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_session_start(session: *mut autoround_session, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_session_next_block(session: *mut autoround_session, block: *mut usize, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_session_sequential_epoch_end(session: *mut autoround_session, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_session_sequential_epoch_end_modules(session: *mut autoround_session, module_names: *const *const c_char, count: usize, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_session_end(session: *mut autoround_session, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_session_finalize(session: *mut autoround_session, out: *mut *mut autoround_result, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_session_free(session: *mut autoround_session);
    pub fn autoround_oneshot(model: *mut autoround_model, recipe: *const autoround_recipe, data: *const autoround_calibration, options: *const autoround_options, out: *mut *mut autoround_result, error: *mut *mut autoround_error) -> autoround_status;

    // layers
    pub fn autoround_layer_new(context: *mut autoround_context, name: *const c_char, weight: *const autoround_tensor, bias: *const autoround_tensor, out: *mut *mut autoround_layer, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_layer_add_inputs(layer: *mut autoround_layer, inputs: *const autoround_tensor, targets: *const autoround_tensor, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_layer_sample_count(layer: *const autoround_layer) -> usize;
    pub fn autoround_layer_token_count(layer: *const autoround_layer) -> i64;
    pub fn autoround_layer_tune(layer: *const autoround_layer, recipe: *const autoround_recipe, options: *const autoround_options, out: *mut *mut autoround_result, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_layer_free(layer: *mut autoround_layer);

    // results and tensors
    pub fn autoround_result_block_count(result: *const autoround_result) -> usize;
    pub fn autoround_result_block_name(result: *const autoround_result, block: usize) -> *const c_char;
    pub fn autoround_result_block_loss_before(result: *const autoround_result, block: usize) -> f64;
    pub fn autoround_result_block_loss_after(result: *const autoround_result, block: usize) -> f64;
    pub fn autoround_result_block_best_iteration(result: *const autoround_result, block: usize) -> i64;
    pub fn autoround_result_block_seconds(result: *const autoround_result, block: usize) -> f64;
    pub fn autoround_result_layer_count(result: *const autoround_result) -> usize;
    pub fn autoround_result_layer_name(result: *const autoround_result, layer: usize) -> *const c_char;
    pub fn autoround_result_layer_scheme(result: *const autoround_result, layer: usize) -> *const c_char;
    pub fn autoround_result_layer_reason(result: *const autoround_result, layer: usize) -> *const c_char;
    pub fn autoround_result_layer_tensor(result: *const autoround_result, layer: usize, part: *const c_char, out: *mut *mut autoround_tensor, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_result_warning_count(result: *const autoround_result) -> usize;
    pub fn autoround_result_warning(result: *const autoround_result, index: usize) -> *const c_char;
    pub fn autoround_result_report(result: *const autoround_result, out: *mut *mut c_char, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_result_report_html(result: *const autoround_result, out: *mut *mut c_char, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_result_free(result: *mut autoround_result);
    pub fn autoround_tensor_new(dtype: *const c_char, sizes: *const i64, rank: usize, data: *const c_void, length: usize, out: *mut *mut autoround_tensor, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_tensor_from_dlpack(managed: *mut DLManagedTensorVersioned, out: *mut *mut autoround_tensor, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_tensor_dtype(tensor: *const autoround_tensor) -> *const c_char;
    pub fn autoround_tensor_rank(tensor: *const autoround_tensor) -> usize;
    pub fn autoround_tensor_size(tensor: *const autoround_tensor, dim: usize) -> i64;
    pub fn autoround_tensor_byte_size(tensor: *const autoround_tensor) -> usize;
    pub fn autoround_tensor_data(tensor: *const autoround_tensor) -> *const c_void;
    pub fn autoround_tensor_copy(tensor: *const autoround_tensor, bytes: *mut c_void, length: usize, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_tensor_to_dlpack(tensor: *const autoround_tensor, out: *mut *mut DLManagedTensorVersioned, error: *mut *mut autoround_error) -> autoround_status;
    pub fn autoround_tensor_free(tensor: *mut autoround_tensor);
}
