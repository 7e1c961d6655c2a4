/* The Rust half of calibration/tokenizer.cpp: the `tokenizers` and `minijinja` crates as plain C. Internal to the
 * library.
 *
 * Texts are UTF-8 with a length; NUL is an ordinary character. Every function returns 0 when it succeeded; otherwise it
 * fills `error` with a sentence and leaves the other outputs empty. What comes back in an autoround_ffi_buffer belongs
 * to the caller, who returns it with autoround_ffi_buffer_free. Nothing unwinds out of here and nothing is printed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct autoround_ffi_tokenizer autoround_ffi_tokenizer;

typedef struct autoround_ffi_buffer {
  uint8_t* data; /* text, or uint32_t ids in native byte order (aligned to 4) */
  size_t size;   /* bytes */
} autoround_ffi_buffer;

void autoround_ffi_buffer_free(autoround_ffi_buffer buffer);

/* Loads the text of a tokenizer.json. A truncation, padding or dropout that the file asks for is switched off. */
int autoround_ffi_tokenizer_new(const uint8_t* json, size_t size, autoround_ffi_tokenizer** out,
                                autoround_ffi_buffer* error);
void autoround_ffi_tokenizer_free(autoround_ffi_tokenizer* tokenizer);

/* Largest id + 1, added tokens included. */
uint32_t autoround_ffi_tokenizer_vocab_size(const autoround_ffi_tokenizer* tokenizer);

int autoround_ffi_tokenizer_encode(const autoround_ffi_tokenizer* tokenizer, const uint8_t* text, size_t size,
                                   bool add_special_tokens, autoround_ffi_buffer* ids, autoround_ffi_buffer* error);
/* Without special tokens around the text. `begins`: the byte of the text, a uint32_t, that each of the ids begins at;
 * they never fall. */
int autoround_ffi_tokenizer_encode_with_offsets(const autoround_ffi_tokenizer* tokenizer, const uint8_t* text,
                                                size_t size, autoround_ffi_buffer* ids, autoround_ffi_buffer* begins,
                                                autoround_ffi_buffer* error);
int autoround_ffi_tokenizer_decode(const autoround_ffi_tokenizer* tokenizer, const uint32_t* ids, size_t count,
                                   bool skip_special_tokens, autoround_ffi_buffer* text, autoround_ffi_buffer* error);

/* The ids that encoding with special tokens puts before and after a text. */
int autoround_ffi_tokenizer_affixes(const autoround_ffi_tokenizer* tokenizer, autoround_ffi_buffer* prefix,
                                    autoround_ffi_buffer* suffix, autoround_ffi_buffer* error);

/* Renders a chat template as transformers does. `context` is a JSON object with the template's variables: messages,
 * add_generation_prompt, bos_token, ... Work, memory, recursion and output are bounded; see src/template.rs. */
int autoround_ffi_render_chat(const uint8_t* source, size_t source_size, const uint8_t* context, size_t context_size,
                              autoround_ffi_buffer* text, autoround_ffi_buffer* error);

#ifdef __cplusplus
}
#endif
