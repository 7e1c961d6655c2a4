//! The C interface declared in `tokenizer_ffi.h`. Each function is a thin door: it turns pointers into slices, calls
//! `tokenizer` or `template`, and turns errors and panics into a sentence.

mod budget;
mod strftime;
mod tags;
mod template;
mod tojson;
mod tokenizer;

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

use tokenizer::LoadedTokenizer;

#[global_allocator]
static ALLOCATOR: budget::Metered = budget::Metered;

/// Bytes that belong to the caller. Stored as whole `u32` so that ids are aligned; `size` counts bytes.
#[repr(C)]
pub struct Buffer {
    data: *mut u32,
    size: usize,
}

impl Buffer {
    fn of_ids(ids: Vec<u32>) -> Self {
        let size = std::mem::size_of_val(ids.as_slice());
        Self::new(ids, size)
    }

    fn of_text(text: &str) -> Self {
        let word = |chunk: &[u8]| {
            let mut bytes = [0u8; 4];
            bytes[..chunk.len()].copy_from_slice(chunk);
            u32::from_ne_bytes(bytes)
        };
        Self::new(text.as_bytes().chunks(4).map(word).collect(), text.len())
    }

    fn new(words: Vec<u32>, size: usize) -> Self {
        Self { data: Box::into_raw(words.into_boxed_slice()).cast(), size }
    }
}

#[no_mangle]
pub unsafe extern "C" fn autoround_ffi_buffer_free(buffer: Buffer) {
    if !buffer.data.is_null() {
        let words = std::ptr::slice_from_raw_parts_mut(buffer.data, buffer.size.div_ceil(4));
        drop(Box::from_raw(words));
    }
}

#[no_mangle]
pub unsafe extern "C" fn autoround_ffi_tokenizer_new(
    json: *const u8,
    size: usize,
    out: *mut *mut LoadedTokenizer,
    error: *mut Buffer,
) -> i32 {
    guarded(error, || {
        let tokenizer = LoadedTokenizer::from_json(slice(json, size))?;
        *out = Box::into_raw(Box::new(tokenizer));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn autoround_ffi_tokenizer_free(tokenizer: *mut LoadedTokenizer) {
    if !tokenizer.is_null() {
        drop(Box::from_raw(tokenizer));
    }
}

#[no_mangle]
pub unsafe extern "C" fn autoround_ffi_tokenizer_vocab_size(tokenizer: *const LoadedTokenizer) -> u32 {
    (*tokenizer).vocab_size()
}

#[no_mangle]
pub unsafe extern "C" fn autoround_ffi_tokenizer_encode(
    tokenizer: *const LoadedTokenizer,
    text: *const u8,
    size: usize,
    add_special_tokens: bool,
    ids: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    guarded(error, || {
        *ids = Buffer::of_ids((*tokenizer).encode(utf8(text, size)?, add_special_tokens)?);
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn autoround_ffi_tokenizer_encode_with_offsets(
    tokenizer: *const LoadedTokenizer,
    text: *const u8,
    size: usize,
    ids: *mut Buffer,
    begins: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    guarded(error, || {
        let (found, offsets) = (*tokenizer).encode_with_offsets(utf8(text, size)?)?;
        *ids = Buffer::of_ids(found);
        *begins = Buffer::of_ids(offsets);
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn autoround_ffi_tokenizer_decode(
    tokenizer: *const LoadedTokenizer,
    ids: *const u32,
    count: usize,
    skip_special_tokens: bool,
    text: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    guarded(error, || {
        *text = Buffer::of_text(&(*tokenizer).decode(slice(ids, count), skip_special_tokens)?);
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn autoround_ffi_tokenizer_affixes(
    tokenizer: *const LoadedTokenizer,
    prefix: *mut Buffer,
    suffix: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    guarded(error, || {
        let (before, after) = (*tokenizer).affixes()?;
        *prefix = Buffer::of_ids(before);
        *suffix = Buffer::of_ids(after);
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn autoround_ffi_render_chat(
    source: *const u8,
    source_size: usize,
    context: *const u8,
    context_size: usize,
    text: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    guarded(error, || {
        let rendered = template::render(utf8(source, source_size)?, utf8(context, context_size)?)?;
        *text = Buffer::of_text(&rendered);
        Ok(())
    })
}

/// The wall between Rust and C: neither an error nor a panic passes it.
unsafe fn guarded(error: *mut Buffer, work: impl FnOnce() -> Result<(), String>) -> i32 {
    static SILENCE: Once = Once::new();
    // This is the hook of our own copy of the Rust runtime, not of a host that happens to be written in Rust.
    SILENCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));

    match catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panic_message(panic.as_ref()))) {
        Ok(()) => 0,
        Err(message) => {
            *error = Buffer::of_text(&message);
            1
        }
    }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("internal failure: {}", text.unwrap_or("unknown"))
}

unsafe fn slice<'a, T>(data: *const T, count: usize) -> &'a [T] {
    if count == 0 {
        &[] // C++ may hand out a null pointer for an empty range
    } else {
        std::slice::from_raw_parts(data, count)
    }
}

unsafe fn utf8<'a>(data: *const u8, size: usize) -> Result<&'a str, String> {
    std::str::from_utf8(slice(data, size)).map_err(|e| format!("invalid UTF-8 at byte {}", e.valid_up_to()))
}
