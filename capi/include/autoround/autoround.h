/* autoround/autoround.h: the whole contract of libautoround.
 *
 * Quantizes LLM checkpoints with AutoRound inside your own process: a Hugging Face folder and a recipe in, a smaller folder out
 * that vLLM and transformers load unmodified.
 *
 *     autoround_model *model = NULL;  autoround_recipe *recipe = NULL;  autoround_calibration *data = NULL;
 *     autoround_options *options = NULL;  autoround_result *result = NULL;  autoround_error *error = NULL;
 *     if (autoround_model_open(NULL, "SmolLM2-135M-Instruct", NULL, &model, &error) ||
 *         autoround_recipe_new(&recipe, &error) || autoround_recipe_set_string(recipe, "scheme", "W4A16", &error) ||
 *         autoround_recipe_set_int(recipe, "weights.group_size", 64, &error) ||
 *         autoround_calibration_new(NULL, 2048, &data, &error) ||
 *         autoround_calibration_set_tokenizer(data, "SmolLM2-135M-Instruct/tokenizer.json", &error) ||
 *         autoround_calibration_add_jsonl(data, "chats.jsonl", NULL, 128, NULL, &error) ||
 *         autoround_options_new(&options, &error) ||
 *         autoround_options_set_output(options, "SmolLM2-W4A16", "compressed-tensors", &error) ||
 *         autoround_oneshot(model, recipe, data, options, &result, &error))
 *       fprintf(stderr, "%s: %s\n", autoround_error_subject(error), autoround_error_message(error));
 *
 * Rules
 * 1. C99. Every name begins with autoround_ or AUTOROUND_. Only integers, doubles, const char * UTF-8, (pointer, length) pairs and
 *    opaque pointers cross. No struct crosses, so there is nothing to version. Enums are int32_t typedefs plus anonymous enum
 *    constants with explicit values; callers accept values they do not know.
 * 2. Fallible functions return autoround_status and take a last autoround_error **error: may be NULL, set only on failure, freed by
 *    the caller. There is no thread-local last error. Getters cannot fail: a wrong index or kind, or a NULL handle, gives 0, "",
 *    NULL, -1 or NaN. AUTOROUND_DONE ends an iteration without an error object. Out-parameters are set to NULL or 0 on failure.
 * 3. _new, _open, _parse, _load, _clone and **out give ownership; everything returned directly is borrowed from its handle.
 *    _free(NULL) is a no-op. Handles keep what they depend on alive: free in any order. No init call, no shutdown call.
 * 4. A handle may move between threads and is used by one thread at a time; functions that take only const handles may run
 *    concurrently, and so may all on one model but its free: it never changes, and its log sink gets the lines of all threads,
 *    one at a time. autoround_cancel_* may be called from any thread, autoround_cancel_request and
 *    autoround_cancel_is_requested from a signal handler too. How many threads work inside is said by a context; nothing is
 *    set for the process.
 * 5. Callbacks run on the thread that made the call, before it returns, never after. They may call getters and
 *    autoround_cancel_request, nothing else on that session. Non-zero stops the run: status CANCELLED. release(user_data) runs
 *    exactly once. Callbacks must not throw or longjmp.
 * 6. After a failed step the session is FAILED: read its state, free it. The model on disk is never changed; an output folder
 *    appears whole or not at all, whatever happens to the process (autoround_options_set_resume). A call out of order or with a wrong argument changes nothing.
 * 7. Every fallible function gives INVALID_ARGUMENT when a pointer argument not described as "may be NULL" is NULL or a handle
 *    of another type, OUT_OF_MEMORY when memory runs out and INTERNAL for a defect of the library; what computes on a GPU (the
 *    steps of a session, autoround_oneshot, autoround_layer_tune, autoround_model_perplexity, autoround_model_plan) gives DEVICE
 *    when the GPU or its driver fails. These four are not repeated below. Messages are sentences for people: file, key or tensor,
 *    what was found, what was wanted.
 */
#ifndef AUTOROUND_H
#define AUTOROUND_H

#include <stddef.h>
#include <stdint.h>

#if defined(AUTOROUND_BUILDING)
#  define AUTOROUND_EXPORT __attribute__((visibility("default")))
#else
#  define AUTOROUND_EXPORT
#endif
#if defined(__GNUC__) && !defined(SWIG)
#  define AUTOROUND_MUST_USE __attribute__((warn_unused_result))
#else
#  define AUTOROUND_MUST_USE
#endif
#if defined(__cplusplus) && !defined(SWIG)
#  define AUTOROUND_NOEXCEPT noexcept
#else
#  define AUTOROUND_NOEXCEPT
#endif
/* AUTOROUND_FN: a function that cannot fail. AUTOROUND_TRY: one that can; its last parameter is autoround_error **error. */
#define AUTOROUND_FN(type) AUTOROUND_EXPORT type
#define AUTOROUND_TRY(name, ...) \
  AUTOROUND_EXPORT AUTOROUND_MUST_USE autoround_status name(__VA_ARGS__, autoround_error **error) AUTOROUND_NOEXCEPT

#ifdef __cplusplus
extern "C" {
#endif

/* ---- handles: opaque, created by the library, freed by the matching _free (NULL is a no-op) ------------------------------------ */

typedef struct autoround_error       autoround_error;
typedef struct autoround_context     autoround_context;     /* log sink, threads */
typedef struct autoround_cancel      autoround_cancel;      /* the one handle that any thread may touch */
typedef struct autoround_recipe      autoround_recipe;      /* what is computed; travels with the output */
typedef struct autoround_model       autoround_model;       /* an opened checkpoint folder */
typedef struct autoround_calibration autoround_calibration; /* token windows to calibrate or measure on */
typedef struct autoround_options     autoround_options;     /* what the host decides: device, outputs, callback */
typedef struct autoround_session     autoround_session;     /* one run, step by step */
typedef struct autoround_layer       autoround_layer;       /* one linear layer of a host with model code of its own */
typedef struct autoround_event       autoround_event;       /* borrowed: valid inside the callback only */
typedef struct autoround_tensor      autoround_tensor;
typedef struct autoround_result      autoround_result;
struct DLManagedTensorVersioned;                            /* from dlpack.h, which is not included here */

/* ---- codes ---------------------------------------------------------------------------------------------------------------- */

typedef int32_t autoround_status;
enum {
  AUTOROUND_OK = 0,
  AUTOROUND_DONE = 1,                      /* nothing left to iterate; no error object */
  AUTOROUND_ERROR_INVALID_ARGUMENT = -1,
  AUTOROUND_ERROR_INVALID_STATE = -2,      /* a call out of order; the message says which states allow it */
  AUTOROUND_ERROR_NOT_FOUND = -3,          /* a file, tensor or name that is not there */
  AUTOROUND_ERROR_IO = -4,
  AUTOROUND_ERROR_PARSE = -5,              /* a file or text that is not what it should be; line and column where known */
  AUTOROUND_ERROR_UNSUPPORTED = -6,        /* well-formed, but not something this build does; the message lists what it does */
  AUTOROUND_ERROR_OUT_OF_MEMORY = -7,
  AUTOROUND_ERROR_DEVICE = -8,             /* what a GPU or its driver answers while a run goes on */
  AUTOROUND_ERROR_CANCELLED = -9,
  AUTOROUND_ERROR_NUMERIC = -10,           /* NaN, Inf or an exploding loss; the subject is the layer */
  AUTOROUND_ERROR_INTERNAL = -99
};

typedef int32_t autoround_state;
enum {
  AUTOROUND_STATE_CREATED = 0,
  AUTOROUND_STATE_INITIALIZED = 1,
  AUTOROUND_STATE_STARTED = 2,
  AUTOROUND_STATE_ENDED = 3,
  AUTOROUND_STATE_FINALIZED = 4,
  AUTOROUND_STATE_FAILED = 5
};

typedef int32_t autoround_event_kind;      /* bits, so a mask selects them */
enum {
  AUTOROUND_EVENT_PROGRESS = 1,            /* "start", "finish"; of autoround_model_perplexity "perplexity", after each layer */
  AUTOROUND_EVENT_BLOCK_BEGIN = 2,
  AUTOROUND_EVENT_BLOCK_INPUTS = 4,        /* the captured inputs of a block can be read */
  AUTOROUND_EVENT_ITERATION = 8,
  AUTOROUND_EVENT_BLOCK_END = 16
};

enum {
  AUTOROUND_LOG_TRACE = 0, AUTOROUND_LOG_DEBUG = 1, AUTOROUND_LOG_INFO = 2,
  AUTOROUND_LOG_WARN = 3,  AUTOROUND_LOG_ERROR = 4, AUTOROUND_LOG_OFF = 5
};

typedef int32_t (*autoround_event_fn)(void *user_data, const autoround_event *event);   /* 0: go on, else stop */
typedef void (*autoround_log_fn)(void *user_data, int32_t level, const char *text, size_t length);
typedef void (*autoround_release_fn)(void *user_data);

/* ---- version and features: no error object; all strings are static ------------------------------------------------------------ */

/* Version of the loaded library: major * 10000 + minor * 100 + patch. Since 0.1 */
AUTOROUND_FN(uint32_t) autoround_version_number(void) AUTOROUND_NOEXCEPT;
/* "0.1.0". Since 0.1 */
AUTOROUND_FN(const char *) autoround_version_string(void) AUTOROUND_NOEXCEPT;
/* Equals the SONAME's number; changes only when an old program could break. Since 0.1 */
AUTOROUND_FN(uint32_t) autoround_abi_version(void) AUTOROUND_NOEXCEPT;
/* 1 when this build on this machine has the feature: "cuda" (a device can be used now: loads what that takes, as set_device does),
 * "bf16" (multiplied in hardware), "avx512", "recipe.yaml", "recipe.toml", "format.NAME", "scheme.NAME". 0 for anything else, NULL
 * included. Since 0.1 */
AUTOROUND_FN(int32_t) autoround_has_feature(const char *name) AUTOROUND_NOEXCEPT;
/* JSON object: version, libtorch, compiler (version of GCC), kernels (instruction set in use), compute ("bf16" or "fp32": the default of
 * autoround_options_set_compute_dtype here), cuda (whether this build made the plug-in). Since 0.1 */
AUTOROUND_FN(const char *) autoround_build_info(void) AUTOROUND_NOEXCEPT;
/* Preset schemes ("W4A16", ...). Since 0.1 */
AUTOROUND_FN(size_t) autoround_scheme_count(void) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(const char *) autoround_scheme_name(size_t index) AUTOROUND_NOEXCEPT;
/* Output formats ("compressed-tensors", ...). Since 0.1 */
AUTOROUND_FN(size_t) autoround_format_count(void) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(const char *) autoround_format_name(size_t index) AUTOROUND_NOEXCEPT;
/* Handles of one kind that are alive in this process ("model", "session", ...); of all kinds when NULL. For leak checks. Since 0.1 */
AUTOROUND_FN(size_t) autoround_live_handles(const char *kind) AUTOROUND_NOEXCEPT;

/* ---- errors and owned strings ------------------------------------------------------------------------------------------------- */

/* "AUTOROUND_ERROR_IO"; "AUTOROUND_UNKNOWN" for a number this library does not know. Static. Since 0.1 */
AUTOROUND_FN(const char *) autoround_status_name(autoround_status status) AUTOROUND_NOEXCEPT;
/* An error object is immutable and may be read in any thread. Texts live as long as the object. Since 0.1 */
AUTOROUND_FN(autoround_status) autoround_error_status(const autoround_error *error) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(const char *) autoround_error_message(const autoround_error *error) AUTOROUND_NOEXCEPT;
/* What it is about: a file, a recipe key ("weights.group_size"), a tensor or layer ("model.layers.3.mlp.up_proj"), or "". Since 0.1 */
AUTOROUND_FN(const char *) autoround_error_subject(const autoround_error *error) AUTOROUND_NOEXCEPT;
/* 1-based place in a text that was parsed; 0 when there is none. Since 0.1 */
AUTOROUND_FN(int32_t) autoround_error_line(const autoround_error *error) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(int32_t) autoround_error_column(const autoround_error *error) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(void) autoround_error_free(autoround_error *error) AUTOROUND_NOEXCEPT;
/* For every char **out of this header. Since 0.1 */
AUTOROUND_FN(void) autoround_string_free(char *text) AUTOROUND_NOEXCEPT;

/* ---- context: where log lines go, how many threads work ----------------------------------------------------------------------- */

/* A silent context. Wherever a context is asked for, NULL means such a one. Since 0.1 */
AUTOROUND_TRY(autoround_context_new, autoround_context **out);
/* Sends lines of `level` and above to fn; text is UTF-8 of `length` bytes, also NUL-terminated. fn NULL: silent again. user_data may be
 * NULL; release (may be NULL) runs once, when the sink is replaced or nothing uses the context any more, or before this returns
 * on failure. Models and calibrations opened with the context before keep the sink they were opened with.
 * Errors: INVALID_ARGUMENT for an unknown level. Since 0.1 */
AUTOROUND_TRY(autoround_context_set_log, autoround_context *context, int32_t level, autoround_log_fn fn, void *user_data, autoround_release_fn release);
/* Threads inside one operation, 1..1024, on models and layers that are opened with the context from now on; 0: as many as LibTorch has
 * on the thread that makes a call. The thread that makes a call is one of them, and has its own number back when the call returns.
 * Errors: INVALID_ARGUMENT. Since 0.1 */
AUTOROUND_TRY(autoround_context_set_threads, autoround_context *context, int32_t intra_op);
AUTOROUND_FN(void) autoround_context_free(autoround_context *context) AUTOROUND_NOEXCEPT;

/* A request to stop that can be made before or during a run, from any thread or a signal handler; it is sticky and may be shared
 * by several runs. A run stops within one iteration. _new gives NULL only when memory runs out. Since 0.1 */
AUTOROUND_FN(autoround_cancel *) autoround_cancel_new(void) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(void) autoround_cancel_request(autoround_cancel *cancel) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(int32_t) autoround_cancel_is_requested(const autoround_cancel *cancel) AUTOROUND_NOEXCEPT;
/* Runs that were given it keep working. Since 0.1 */
AUTOROUND_FN(void) autoround_cancel_free(autoround_cancel *cancel) AUTOROUND_NOEXCEPT;

/* ---- recipe: text in, keyed setters, validate, text out ------------------------------------------------------------------------ */

/* A recipe with every key at its default; set "scheme" at least. Since 0.1 */
AUTOROUND_TRY(autoround_recipe_new, autoround_recipe **out);
/* text: UTF-8 of `length` bytes, at most 1 MiB; syntax: "toml" or "yaml".
 * Errors: PARSE with line and column (syntax, unknown key with the nearest name, value out of range), UNSUPPORTED. Since 0.1 */
AUTOROUND_TRY(autoround_recipe_parse, const char *text, size_t length, const char *syntax, autoround_recipe **out);
/* As parse; the syntax comes from the suffix .toml, .yaml or .yml. Errors: also NOT_FOUND, IO. Since 0.1 */
AUTOROUND_TRY(autoround_recipe_load, const char *path, autoround_recipe **out);
AUTOROUND_TRY(autoround_recipe_clone, const autoround_recipe *recipe, autoround_recipe **out);
/* Keys are those of autoround_recipe_key_name; NAME in one stands for a module name or a re: pattern. Errors: INVALID_ARGUMENT,
 * subject = the key: unknown (with the nearest name), of another type, or out of range; the recipe is unchanged then.
 * On a list ("ignore", "targets") set_string makes value its only element; append adds to it, for targets to the default "Linear". Since 0.1 */
AUTOROUND_TRY(autoround_recipe_set_string, autoround_recipe *recipe, const char *key, const char *value);  /* "scheme", "layers.lm_head.scheme" */
AUTOROUND_TRY(autoround_recipe_set_int,    autoround_recipe *recipe, const char *key, int64_t value);      /* "iters", "weights.group_size" */
AUTOROUND_TRY(autoround_recipe_set_double, autoround_recipe *recipe, const char *key, double value);       /* "lr" */
AUTOROUND_TRY(autoround_recipe_set_bool,   autoround_recipe *recipe, const char *key, int32_t value);      /* "weights.symmetric" */
AUTOROUND_TRY(autoround_recipe_append,     autoround_recipe *recipe, const char *key, const char *value);  /* "ignore", "targets" */
/* The keys that the setters know and one line of help for each. Since 0.1 */
AUTOROUND_FN(size_t) autoround_recipe_key_count(void) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(const char *) autoround_recipe_key_name(size_t index) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(const char *) autoround_recipe_key_help(size_t index) AUTOROUND_NOEXCEPT;
/* The value as text, "" when unset; free it with autoround_string_free. Errors: INVALID_ARGUMENT for an unknown key. Since 0.1 */
AUTOROUND_TRY(autoround_recipe_get, const autoround_recipe *recipe, const char *key, char **out);
/* Checks the rules that need no model and, when model is not NULL, that every target matches and every group size divides.
 * Errors: INVALID_ARGUMENT with all offenders, UNSUPPORTED. Since 0.1 */
AUTOROUND_TRY(autoround_recipe_validate, const autoround_recipe *recipe, const autoround_model *model);
/* Text that parses back to an equal recipe; free it with autoround_string_free. Errors: INVALID_ARGUMENT for an unknown syntax. Since 0.1 */
AUTOROUND_TRY(autoround_recipe_dump, const autoround_recipe *recipe, const char *syntax, char **out);
AUTOROUND_FN(void) autoround_recipe_free(autoround_recipe *recipe) AUTOROUND_NOEXCEPT;

/* ---- model: a checkpoint folder, headers only ---------------------------------------------------------------------------------- */

/* Opens a Hugging Face folder (config.json, safetensors; full precision, compressed-tensors, or GPTQ and AWQ packing: auto_round, auto_gptq,
 * auto_awq). No weights are loaded. context may be NULL; options may be NULL (reserved: nothing in it is used yet).
 * Errors: NOT_FOUND, IO, PARSE (naming file, key, tensor, offset), UNSUPPORTED (model type, pickle files, quantization). Since 0.1 */
AUTOROUND_TRY(autoround_model_open, autoround_context *context, const char *directory, const autoround_options *options, autoround_model **out);
AUTOROUND_FN(const char *) autoround_model_architecture(const autoround_model *model) AUTOROUND_NOEXCEPT;   /* "LlamaForCausalLM" */
AUTOROUND_FN(int64_t) autoround_model_parameter_count(const autoround_model *model) AUTOROUND_NOEXCEPT;     /* stored elements */
AUTOROUND_FN(int64_t) autoround_model_byte_size(const autoround_model *model) AUTOROUND_NOEXCEPT;           /* of all tensors */
/* Blocks are the decoder layers, tuned one at a time unless the recipe's nblocks says otherwise. Since 0.1 */
AUTOROUND_FN(size_t) autoround_model_block_count(const autoround_model *model) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(const char *) autoround_model_block_name(const autoround_model *model, size_t block) AUTOROUND_NOEXCEPT;
/* Modules in named_modules order: what targets and ignores of a recipe match. Since 0.1 */
AUTOROUND_FN(size_t) autoround_model_module_count(const autoround_model *model) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(const char *) autoround_model_module_name(const autoround_model *model, size_t module) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(const char *) autoround_model_module_class(const autoround_model *model, size_t module) AUTOROUND_NOEXCEPT;  /* "Linear" */
AUTOROUND_FN(int64_t) autoround_model_module_block(const autoround_model *model, size_t module) AUTOROUND_NOEXCEPT;       /* -1 outside the blocks */
/* Size of its weight along `dim` (Linear: 0 = out, 1 = in features); 0 beyond its rank. Since 0.1 */
AUTOROUND_FN(int64_t) autoround_model_module_size(const autoround_model *model, size_t module, size_t dim) AUTOROUND_NOEXCEPT;
/* A tensor of the checkpoint as stored, by its name. Errors: NOT_FOUND, IO, UNSUPPORTED (its element type). Since 0.1 */
AUTOROUND_TRY(autoround_model_tensor, const autoround_model *model, const char *name, autoround_tensor **out);
/* exp of the mean negative log-likelihood (natural log) of every token of a window but its first. Streams layer by layer; also reads
 * folders that this library wrote, but for gguf. options may be NULL: device, compute dtype (default fp32 here), cancel and callback are used.
 * Errors: INVALID_ARGUMENT (no windows, an id outside the vocabulary), IO, PARSE (a weight that is NaN or infinite), UNSUPPORTED, CANCELLED,
 * NUMERIC. Since 0.1 */
AUTOROUND_TRY(autoround_model_perplexity, autoround_model *model, const autoround_calibration *data, const autoround_options *options, double *out);
/* JSON: what the recipe would do to each linear layer, and the memory, disk and time the run is predicted to need. No weights are read.
 * data may be NULL (the recipe's nsamples and seqlen count then); options may be NULL. Free it with autoround_string_free.
 * Errors: INVALID_ARGUMENT, UNSUPPORTED, as autoround_session_initialize gives them, but output folders are not looked at. Since 0.1 */
AUTOROUND_TRY(autoround_model_plan, const autoround_model *model, const autoround_recipe *recipe, const autoround_calibration *data, const autoround_options *options, char **out);
AUTOROUND_FN(void) autoround_model_free(autoround_model *model) AUTOROUND_NOEXCEPT;

/* ---- calibration data: everything is copied in --------------------------------------------------------------------------------- */

/* Windows of sequence_length tokens, 1..131072. Shorter samples are padded and masked, longer ones cut. context may be NULL.
 * Errors: INVALID_ARGUMENT. Since 0.1 */
AUTOROUND_TRY(autoround_calibration_new, autoround_context *context, int64_t sequence_length, autoround_calibration **out);
/* Path of a tokenizer.json; tokenizer_config.json and chat_template.jinja beside it are used when there. Needed for text, not for ids.
 * Errors: NOT_FOUND, IO, PARSE. Since 0.1 */
AUTOROUND_TRY(autoround_calibration_set_tokenizer, autoround_calibration *data, const char *tokenizer_json_path);
/* One sample of token ids. Errors: INVALID_ARGUMENT (none, or an id below 0 or above 4194303). Since 0.1 */
AUTOROUND_TRY(autoround_calibration_add_tokens, autoround_calibration *data, const int64_t *ids, size_t count);
/* One sample of text, UTF-8 of `length` bytes, may hold NUL; the tokenizer's special tokens are added.
 * Errors: INVALID_STATE (no tokenizer), PARSE (not UTF-8). Since 0.1 */
AUTOROUND_TRY(autoround_calibration_add_text, autoround_calibration *data, const char *text, size_t length);
/* A text of any length, tokenized as one without special tokens and cut into consecutive windows; a window counts the special tokens
 * that the tokenizer puts around a sequence. Ends at `limit` windows (0: all). A last partial window is padded, or dropped when drop_last
 * is not 0. added (may be NULL): windows added. A text that fails adds nothing. Errors: INVALID_STATE, PARSE. Since 0.1 */
AUTOROUND_TRY(autoround_calibration_add_windows, autoround_calibration *data, const char *text, size_t length, size_t limit, int32_t drop_last, size_t *added);
/* A .jsonl file, one sample a line, or a JSON array of samples. field: "text", "messages" (through the chat template, with "tools" beside
 * them), "input_ids", or NULL: the first of these that a sample has. limit: samples to take, 0: all. added may be NULL. A file that fails adds nothing.
 * Errors: NOT_FOUND, IO, PARSE with the line number, INVALID_STATE (no tokenizer). Since 0.1 */
AUTOROUND_TRY(autoround_calibration_add_jsonl, autoround_calibration *data, const char *path, const char *field, size_t limit, size_t *added);
/* A file of either kind and any size, told apart by its content: JSON as above or plain text windows. It is read as far as the limit asks;
 * what is wrong after that is not seen. added may be NULL. Errors: as the two above. Since 0.1 */
AUTOROUND_TRY(autoround_calibration_add_file, autoround_calibration *data, const char *path, size_t limit, int32_t drop_last, size_t *added);
AUTOROUND_FN(size_t) autoround_calibration_sample_count(const autoround_calibration *data) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(int64_t) autoround_calibration_token_count(const autoround_calibration *data) AUTOROUND_NOEXCEPT;      /* without padding */
AUTOROUND_FN(int64_t) autoround_calibration_sequence_length(const autoround_calibration *data) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(void) autoround_calibration_free(autoround_calibration *data) AUTOROUND_NOEXCEPT;

/* ---- options: what the host decides, not the recipe ---------------------------------------------------------------------------- */

AUTOROUND_TRY(autoround_options_new, autoround_options **out);
/* Where blocks are tuned: "cpu" (default), "cuda" (the first CUDA device), "cuda:1", ... The first CUDA device that is named loads
 * libautoround_cuda.so and LibTorch's CUDA libraries, which takes seconds: name it before the process tunes on the CPU, for LibTorch
 * cannot take them in later. The host's current device and streams stay as they are. Errors: INVALID_ARGUMENT (not a device),
 * UNSUPPORTED (no driver, no plug-in, no such device: the text says what is missing and where it was looked for). Since 0.1 */
AUTOROUND_TRY(autoround_options_set_device, autoround_options *options, const char *device);
/* "bf16" or "fp32"; default: bf16 where the CPU multiplies it in hardware (autoround_model_perplexity: fp32). Errors: INVALID_ARGUMENT. Since 0.1 */
AUTOROUND_TRY(autoround_options_set_compute_dtype, autoround_options *options, const char *dtype);
/* Overrides the recipe's seed. Errors: INVALID_ARGUMENT above 2^63 - 1. Since 0.1 */
AUTOROUND_TRY(autoround_options_set_seed, autoround_options *options, uint64_t seed);
/* 1: same seed and thread count, same bytes. 0 allows faster operations whose last bits differ from run to run. Default: 1 on the
 * CPU, where no operation is faster for it; 0 on CUDA, where attention then adds its gradients up in any order. Since 0.1 */
AUTOROUND_TRY(autoround_options_set_deterministic, autoround_options *options, int32_t on);
/* A run on `device` ("cpu", "cuda", "cuda:1", ...; it need not be there) is to stay below `bytes` of memory: of the CPU the resident set
 * of the process, with what it held before. Where prediction says that it would not, it has its activations in files without names,
 * beside the first output, or without one in $TMPDIR, else /var/tmp (on a device: in pinned memory of the host); and where that is not
 * enough, smaller passes, which change the order of sums and nothing else. A limit that cannot be kept is refused by initialize with
 * INVALID_ARGUMENT, which says the smallest that can. What is resident counts when initialize is called: two sessions of one process that
 * are initialized before either runs may exceed it together. autoround_model_plan shows what would be chosen. 0: no limit. Errors:
 * INVALID_ARGUMENT. Since 0.1 */
AUTOROUND_TRY(autoround_options_set_memory_limit, autoround_options *options, const char *device, int64_t bytes);
/* Where the run writes and in which format. May be called several times, one per format: each call adds one (directory, format) pair.
 * format: a name of autoround_format_name, e.g. "compressed-tensors". directory: created when absent, must be empty otherwise; never the
 * model's own directory or a place inside it. The output is streamed: the packed tensors of a block are written as soon as that block is
 * tuned, index and config come last, and the folder appears when all is done. Without any call the tensors stay in memory, in the result.
 * NULL or "" for either: INVALID_ARGUMENT; a format that is not built in: UNSUPPORTED. Since 0.1 */
AUTOROUND_TRY(autoround_options_set_output, autoround_options *options, const char *directory, const char *format);
/* 1: a run that is killed, cancelled or fails leaves its finished blocks in the hidden folder .NAME.incomplete-XXXXXX beside each output
 * NAME, and a run with 1 that finds such folders goes on after them: same calls, same events (but no ITERATION for those blocks), same
 * bytes as one run without a break. It starts over where nothing was left, and refuses with INVALID_STATE what another model file, recipe,
 * calibration, thread count, CPU or library version has made: the subject is what differs, and the folder stays. Blocks whose bytes were
 * damaged are tuned again. 0 (default): cancelled and failed runs leave nothing, and what a killed one left is removed and logged.
 * initialize refuses 1 without an output directory with INVALID_ARGUMENT. Since 0.1 */
AUTOROUND_TRY(autoround_options_set_resume, autoround_options *options, int32_t on);
/* Shared, not taken; NULL: none. Since 0.1 */
AUTOROUND_TRY(autoround_options_set_cancel, autoround_options *options, autoround_cancel *cancel);
/* fn is called for the kinds in event_mask; NULL: none. user_data may be NULL; release (may be NULL) runs once, when the callback is
 * replaced or nothing uses the options any more, or before this returns on failure. Errors: INVALID_ARGUMENT for unknown bits. Since 0.1 */
AUTOROUND_TRY(autoround_options_set_callback, autoround_options *options, int32_t event_mask, autoround_event_fn fn, void *user_data, autoround_release_fn release);
AUTOROUND_FN(void) autoround_options_free(autoround_options *options) AUTOROUND_NOEXCEPT;

/* ---- events: borrowed, inside the callback ------------------------------------------------------------------------------------- */

AUTOROUND_FN(autoround_event_kind) autoround_event_what(const autoround_event *event) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(double) autoround_event_fraction(const autoround_event *event) AUTOROUND_NOEXCEPT;        /* 0..1 of the whole run */
AUTOROUND_FN(int64_t) autoround_event_block(const autoround_event *event) AUTOROUND_NOEXCEPT;          /* -1 when none */
AUTOROUND_FN(const char *) autoround_event_name(const autoround_event *event) AUTOROUND_NOEXCEPT;      /* of the block or stage */
AUTOROUND_FN(int64_t) autoround_event_iteration(const autoround_event *event) AUTOROUND_NOEXCEPT;      /* -1 when none; BLOCK_END: the best one */
AUTOROUND_FN(double) autoround_event_loss(const autoround_event *event) AUTOROUND_NOEXCEPT;            /* NaN when none; BLOCK_END: over all samples */
/* BLOCK_INPUTS: 2 tensors [samples, tokens, hidden], the full-precision stream and the quantized stream; otherwise 0. Since 0.1 */
AUTOROUND_FN(size_t) autoround_event_input_count(const autoround_event *event) AUTOROUND_NOEXCEPT;
/* Owned by the caller; shares memory with the run, which does not change it. Errors: INVALID_ARGUMENT for a wrong index. Since 0.1 */
AUTOROUND_TRY(autoround_event_input, const autoround_event *event, size_t index, autoround_tensor **out);

/* ---- session: the modifier lifecycle, one step a call --------------------------------------------------------------------------- */

/* Takes copies of recipe, data and options and shares the model; all may be freed or changed afterwards. data may be NULL when the recipe's
 * iters is 0; options may be NULL. Errors: INVALID_ARGUMENT (the recipe breaks a rule). Since 0.1 */
AUTOROUND_TRY(autoround_session_new, autoround_model *model, const autoround_recipe *recipe, const autoround_calibration *data, const autoround_options *options, autoround_session **out);
AUTOROUND_FN(autoround_state) autoround_session_state(const autoround_session *session) AUTOROUND_NOEXCEPT;   /* FAILED for NULL */
/* CREATED -> INITIALIZED. Gives every module its scheme or none and checks all that can fail before a weight is read: unmatched targets,
 * columns that a group size does not divide (all of them), a format that cannot hold a scheme, layers that readers fuse with different
 * schemes, token ids, output folders, free disk.
 * Errors: INVALID_STATE, INVALID_ARGUMENT, UNSUPPORTED, IO, PARSE, CANCELLED. Since 0.1 */
AUTOROUND_TRY(autoround_session_initialize, autoround_session *session);
/* INITIALIZED -> STARTED: input-capture hooks on, outputs reserved, tensors that are not quantized copied.
 * Errors: INVALID_STATE (also: another run writes the same folder, or what is to be resumed was made otherwise), INVALID_ARGUMENT (the folder is
 * not empty), IO, CANCELLED. Since 0.1 */
AUTOROUND_TRY(autoround_session_start, autoround_session *session);
/* Runs the data to the next block and captures its inputs and full-precision output. block (may be NULL): the index of its decoder layer, or
 * of the first of `nblocks` layers that are tuned together (the last block has what is left). DONE after the last.
 * Errors: INVALID_STATE (also: the block before was not tuned), IO, PARSE (a weight that is NaN or infinite), NUMERIC (as the block before was
 * written), CANCELLED. Since 0.1 */
AUTOROUND_TRY(autoround_session_next_block, autoround_session *session, size_t *block);
/* Tunes that block, writes its tensors to every output; a block that is resumed is run with the tensors it has. Errors: INVALID_STATE, IO, NUMERIC, CANCELLED. Since 0.1 */
AUTOROUND_TRY(autoround_session_sequential_epoch_end, autoround_session *session);
/* The same for a caller that walks the model itself and names the modules of the part that has just been run. Counts the decoding layers
 * among module_names[0..count): none: nothing to do, OK; one: tunes it, as autoround_session_sequential_epoch_end; N > 1:
 * INVALID_ARGUMENT, "only one decoding layer is expected, found N". With nblocks above 1 it is the layers of one block that are expected. module_names may be NULL when count is 0. Since 0.1 */
AUTOROUND_TRY(autoround_session_sequential_epoch_end_modules, autoround_session *session, const char *const *module_names, size_t count);
/* STARTED -> ENDED once every block is tuned: layers outside the blocks are rounded, hooks off.
 * Errors: INVALID_STATE, IO, PARSE, NUMERIC, CANCELLED. Since 0.1 */
AUTOROUND_TRY(autoround_session_end, autoround_session *session);
/* -> FINALIZED: writes index and config, makes the outputs visible. Calls end when it was not called. out may be NULL.
 * Errors: INVALID_STATE, IO, PARSE, NUMERIC, CANCELLED. Since 0.1 */
AUTOROUND_TRY(autoround_session_finalize, autoround_session *session, autoround_result **out);
AUTOROUND_FN(void) autoround_session_free(autoround_session *session) AUTOROUND_NOEXCEPT;
/* All of the above in one call, with the same bytes as the result. data and options as autoround_session_new; out may be NULL. Since 0.1 */
AUTOROUND_TRY(autoround_oneshot, autoround_model *model, const autoround_recipe *recipe, const autoround_calibration *data, const autoround_options *options, autoround_result **out);

/* ---- layers: for hosts with model code of their own -----------------------------------------------------------------------------
 * No checkpoint, no tokenizer: the host gives the weight of a linear layer and what came into it while it ran its model, and gets codes
 * and scales. The tuner is that of a session; the loss is that of the layer's own output.
 *
 *     autoround_tensor_new("BF16", (const int64_t[]){4096, 4096}, 2, weight, 4096 * 4096 * 2, &w, &error);
 *     autoround_layer_new(NULL, "model.layers.0.self_attn.q_proj", w, NULL, &layer, &error);
 *     autoround_layer_add_inputs(layer, x, NULL, &error);                            once for each text that ran through the model
 *     autoround_layer_tune(layer, recipe, NULL, &result, &error);
 *     autoround_result_layer_tensor(result, 0, "qweight", &codes, &error);
 */

/* weight: [out, in]; bias: [out], or NULL. F32, F16 or BF16, finite. name: what targets and ignores of recipes match; never "". Shares the
 * memory of the tensors, whose handles may be freed. context may be NULL.
 * Errors: INVALID_ARGUMENT (name, shape), UNSUPPORTED (element type), NUMERIC (NaN or infinity, with its place); subject = name. Since 0.1 */
AUTOROUND_TRY(autoround_layer_new, autoround_context *context, const char *name, const autoround_tensor *weight, const autoround_tensor *bias, autoround_layer **out);
/* inputs: [tokens, in], one sample, or [samples, tokens, in]. A minibatch is batch_size samples; shorter samples are padded and masked.
 * targets: the outputs wanted for them, [tokens, out] or [samples, tokens, out], for all samples or for none; NULL: what the full-precision
 * layer makes of the inputs. Given where the inputs come from a model whose earlier layers are quantized already and the targets
 * from the one that is not. Types and memory as for autoround_layer_new; may be called several times; a call that fails adds nothing.
 * Errors: as autoround_layer_new. Since 0.1 */
AUTOROUND_TRY(autoround_layer_add_inputs, autoround_layer *layer, const autoround_tensor *inputs, const autoround_tensor *targets);
AUTOROUND_FN(size_t) autoround_layer_sample_count(const autoround_layer *layer) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(int64_t) autoround_layer_token_count(const autoround_layer *layer) AUTOROUND_NOEXCEPT;      /* without padding */
/* Tunes the layer with the scheme that the recipe gives a Linear of its name (targets of other names are of other layers). What a recipe
 * says of a whole model does not apply: nsamples, seqlen, nblocks, enable_quanted_input. iters 0 needs no inputs and rounds to nearest; with
 * inputs it searches the scales first, unless disable_opt_rtn is true.
 * options may be NULL; output directories are refused. Events are those of one block, number 0, without BLOCK_INPUTS. The layer
 * stays as it is and may be tuned again, with another recipe, or in several threads at once. The result has one block and one layer.
 * Errors: INVALID_ARGUMENT (the recipe breaks a rule or leaves the layer alone, columns that a group size does not divide, no inputs, more
 * memory than the limit), UNSUPPORTED, IO (the files that a memory limit asks for), NUMERIC, CANCELLED. Since 0.1 */
AUTOROUND_TRY(autoround_layer_tune, const autoround_layer *layer, const autoround_recipe *recipe, const autoround_options *options, autoround_result **out);
AUTOROUND_FN(void) autoround_layer_free(autoround_layer *layer) AUTOROUND_NOEXCEPT;

/* ---- results and tensors ---------------------------------------------------------------------------------------------------------
 * A result holds statistics, and tensors only when the run had no output directory. */

/* Blocks as they were tuned: with nblocks above 1 each is several decoder layers, "model.layers.0-1". Since 0.1 */
AUTOROUND_FN(size_t) autoround_result_block_count(const autoround_result *result) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(const char *) autoround_result_block_name(const autoround_result *result, size_t block) AUTOROUND_NOEXCEPT;
/* Mean squared error of the block over all samples, real tokens only: rounded to nearest, and tuned. NaN without data. Since 0.1 */
AUTOROUND_FN(double) autoround_result_block_loss_before(const autoround_result *result, size_t block) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(double) autoround_result_block_loss_after(const autoround_result *result, size_t block) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(int64_t) autoround_result_block_best_iteration(const autoround_result *result, size_t block) AUTOROUND_NOEXCEPT;   /* -1: round-to-nearest was kept */
AUTOROUND_FN(double) autoround_result_block_seconds(const autoround_result *result, size_t block) AUTOROUND_NOEXCEPT;
/* Every linear layer of the model in module order, quantized or not. Since 0.1 */
AUTOROUND_FN(size_t) autoround_result_layer_count(const autoround_result *result) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(const char *) autoround_result_layer_name(const autoround_result *result, size_t layer) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(const char *) autoround_result_layer_scheme(const autoround_result *result, size_t layer) AUTOROUND_NOEXCEPT;   /* "" when not quantized */
AUTOROUND_FN(const char *) autoround_result_layer_reason(const autoround_result *result, size_t layer) AUTOROUND_NOEXCEPT;   /* why not; "" when it was */
/* part: "qweight" U8 [out, in], codes: integers 0..2^bits-1, or the bits of floating-point numbers (sign, exponent, mantissa); "scales"
 * [out, groups], [1] for one a tensor, [out / rows, in / columns] for blocks: a float type, F8_E4M3 (NVFP4) or U8 (exponents of MX formats);
 * "zero_points" U8 as scales (asymmetric only); "global_scale" F32 [1] (NVFP4), a divisor of the scales; of the K types of GGUF, whose "scales"
 * are F16 [out, in / 256], "scale_factors" I8 [out, groups], and where asymmetric "minima" F16 as scales and "minimum_factors" I8 [out,
 * groups] instead of zero points: a weight is code * scale * factor - minimum * factor, symmetric codes less 2^(bits-1); "input_scale" [1] and
 * "input_global_scale" F32 [1] where calibration found one for the layer's inputs; "weight" F32 [out, in] dequantized as loaders do, rounded
 * to the type of the scales. Errors: INVALID_STATE (the run wrote its tensors to an output directory), NOT_FOUND (layer not quantized, or no
 * such part), INVALID_ARGUMENT. Since 0.1 */
AUTOROUND_TRY(autoround_result_layer_tensor, const autoround_result *result, size_t layer, const char *part, autoround_tensor **out);
AUTOROUND_FN(size_t) autoround_result_warning_count(const autoround_result *result) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(const char *) autoround_result_warning(const autoround_result *result, size_t index) AUTOROUND_NOEXCEPT;
/* The account of the run as JSON, and as one self-contained HTML page. Free with autoround_string_free. Since 0.1 */
AUTOROUND_TRY(autoround_result_report, const autoround_result *result, char **out);
AUTOROUND_TRY(autoround_result_report_html, const autoround_result *result, char **out);
AUTOROUND_FN(void) autoround_result_free(autoround_result *result) AUTOROUND_NOEXCEPT;

/* Tensors are contiguous, C order. The memory lives as long as a handle or DLPack capsule of it. Since 0.1 */
/* A copy of `length` bytes at data: elements of dtype, "F32", "BF16" ..., in C order. sizes may be NULL when rank is 0, data when length is 0.
 * Errors: INVALID_ARGUMENT (an unknown dtype, a negative size, a length that is not that of the tensor), UNSUPPORTED. Since 0.1 */
AUTOROUND_TRY(autoround_tensor_new, const char *dtype, const int64_t *sizes, size_t rank, const void *data, size_t length, autoround_tensor **out);
/* Takes over a DLPack 1.x capsule in host memory: shares its memory, which must not change any more, and calls its deleter when nothing
 * uses it. A tensor that is not contiguous is copied instead. On failure the capsule stays the caller's.
 * Errors: UNSUPPORTED (version, device, element type, negative strides), INVALID_ARGUMENT. Since 0.1 */
AUTOROUND_TRY(autoround_tensor_from_dlpack, struct DLManagedTensorVersioned *managed, autoround_tensor **out);
AUTOROUND_FN(const char *) autoround_tensor_dtype(const autoround_tensor *tensor) AUTOROUND_NOEXCEPT;     /* safetensors spelling: "I32", "F16", "BF16" */
AUTOROUND_FN(size_t) autoround_tensor_rank(const autoround_tensor *tensor) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(int64_t) autoround_tensor_size(const autoround_tensor *tensor, size_t dim) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(size_t) autoround_tensor_byte_size(const autoround_tensor *tensor) AUTOROUND_NOEXCEPT;
AUTOROUND_FN(const void *) autoround_tensor_data(const autoround_tensor *tensor) AUTOROUND_NOEXCEPT;      /* host memory; NULL on a device */
/* Copies all bytes. Errors: INVALID_ARGUMENT when length is not autoround_tensor_byte_size. Since 0.1 */
AUTOROUND_TRY(autoround_tensor_copy, const autoround_tensor *tensor, void *bytes, size_t length);
/* A DLPack 1.x capsule that shares the memory; the consumer calls its deleter. Since 0.1 */
AUTOROUND_TRY(autoround_tensor_to_dlpack, const autoround_tensor *tensor, struct DLManagedTensorVersioned **out);
AUTOROUND_FN(void) autoround_tensor_free(autoround_tensor *tensor) AUTOROUND_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
