//! The C ABI of libautoround as Rust declarations: nothing but what `autoround.h` says, under the same names. That header
//! documents each function; the crate `autoround` is the safe way to use them.
//!
//! `build.rs` finds the library in the folder named by `AUTOROUND_LIB_DIR`, else by pkg-config.

#![no_std]
#![allow(non_camel_case_types)]

mod functions;

use core::ffi::{c_char, c_void};
use core::marker::{PhantomData, PhantomPinned};

pub use functions::*;

/// Types that only the library can make, hold and move.
macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[repr(C)]
        pub struct $name {
            _private: [u8; 0],
            _not_send_sync_or_unpin: PhantomData<(*mut u8, PhantomPinned)>,
        }
    )*};
}

opaque! {
    /// What went wrong: immutable, freed by the caller.
    autoround_error;
    /// Log sink, threads.
    autoround_context;
    /// The one handle that any thread may touch.
    autoround_cancel;
    /// What is computed; travels with the output.
    autoround_recipe;
    /// An opened checkpoint folder.
    autoround_model;
    /// Token windows to calibrate or measure on.
    autoround_calibration;
    /// What the host decides: device, outputs, callback.
    autoround_options;
    /// One run, step by step.
    autoround_session;
    /// One linear layer of a host with model code of its own.
    autoround_layer;
    /// Borrowed: valid inside the callback only.
    autoround_event;
    /// Contiguous numbers with a shape.
    autoround_tensor;
    /// What a run did.
    autoround_result;
    /// Of `dlpack.h`: the consumer calls its deleter.
    DLManagedTensorVersioned;
}

/// Negative: an error.
pub type autoround_status = i32;
pub const AUTOROUND_OK: autoround_status = 0;
pub const AUTOROUND_DONE: autoround_status = 1;
pub const AUTOROUND_ERROR_INVALID_ARGUMENT: autoround_status = -1;
pub const AUTOROUND_ERROR_INVALID_STATE: autoround_status = -2;
pub const AUTOROUND_ERROR_NOT_FOUND: autoround_status = -3;
pub const AUTOROUND_ERROR_IO: autoround_status = -4;
pub const AUTOROUND_ERROR_PARSE: autoround_status = -5;
pub const AUTOROUND_ERROR_UNSUPPORTED: autoround_status = -6;
pub const AUTOROUND_ERROR_OUT_OF_MEMORY: autoround_status = -7;
pub const AUTOROUND_ERROR_DEVICE: autoround_status = -8;
pub const AUTOROUND_ERROR_CANCELLED: autoround_status = -9;
pub const AUTOROUND_ERROR_NUMERIC: autoround_status = -10;
pub const AUTOROUND_ERROR_INTERNAL: autoround_status = -99;

pub type autoround_state = i32;
pub const AUTOROUND_STATE_CREATED: autoround_state = 0;
pub const AUTOROUND_STATE_INITIALIZED: autoround_state = 1;
pub const AUTOROUND_STATE_STARTED: autoround_state = 2;
pub const AUTOROUND_STATE_ENDED: autoround_state = 3;
pub const AUTOROUND_STATE_FINALIZED: autoround_state = 4;
pub const AUTOROUND_STATE_FAILED: autoround_state = 5;

/// Bits, so a mask selects them.
pub type autoround_event_kind = i32;
pub const AUTOROUND_EVENT_PROGRESS: autoround_event_kind = 1;
pub const AUTOROUND_EVENT_BLOCK_BEGIN: autoround_event_kind = 2;
pub const AUTOROUND_EVENT_BLOCK_INPUTS: autoround_event_kind = 4;
pub const AUTOROUND_EVENT_ITERATION: autoround_event_kind = 8;
pub const AUTOROUND_EVENT_BLOCK_END: autoround_event_kind = 16;

pub const AUTOROUND_LOG_TRACE: i32 = 0;
pub const AUTOROUND_LOG_DEBUG: i32 = 1;
pub const AUTOROUND_LOG_INFO: i32 = 2;
pub const AUTOROUND_LOG_WARN: i32 = 3;
pub const AUTOROUND_LOG_ERROR: i32 = 4;
pub const AUTOROUND_LOG_OFF: i32 = 5;

/// 0: go on, else stop. Must not unwind.
pub type autoround_event_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, event: *const autoround_event) -> i32>;
/// `text` is UTF-8 of `length` bytes, also NUL-terminated. Must not unwind.
pub type autoround_log_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, level: i32, text: *const c_char, length: usize)>;
/// Runs exactly once. Must not unwind.
pub type autoround_release_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;
