//! How every function of the library is called: status and error object in, `Result` out; text both ways.

use std::ffi::{CStr, CString, c_char};
use std::path::Path;
use std::ptr::null_mut;

use crate::handle::{Handle, Opaque};
use crate::{Code, Error, Result, callback, sys};

type ErrorOut = *mut *mut sys::autoround_error;

/// Calls a function that can fail; the status that it gives is `OK` or `DONE`.
pub(crate) fn status(call: impl FnOnce(ErrorOut) -> sys::autoround_status) -> Result<sys::autoround_status> {
    let mut error = null_mut();
    let status = call(&mut error);
    let error = unsafe { Handle::from_raw(error) };
    callback::resume_panic();
    if status >= sys::AUTOROUND_OK { Ok(status) } else { Err(Error::from_handle(status, error.as_ref())) }
}

pub(crate) fn check(call: impl FnOnce(ErrorOut) -> sys::autoround_status) -> Result<()> {
    status(call).map(drop)
}

/// Calls a function that makes a handle.
pub(crate) fn create<T: Opaque>(
    call: impl FnOnce(*mut *mut T, ErrorOut) -> sys::autoround_status,
) -> Result<Handle<T>> {
    let mut made = None;
    check(|error| {
        let mut out = null_mut();
        let status = call(&mut out, error);
        made = unsafe { Handle::from_raw(out) };
        status
    })?;
    Ok(made.expect("success comes with a handle"))
}

/// Calls a function that makes a text.
pub(crate) fn owned_text(call: impl FnOnce(*mut *mut c_char, ErrorOut) -> sys::autoround_status) -> Result<String> {
    let text = create(call)?;
    Ok(unsafe { copied_text(text.as_ptr()) })
}

/// # Safety
/// As [`borrowed_text`].
pub(crate) unsafe fn copied_text(text: *const c_char) -> String {
    if text.is_null() { String::new() } else { unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned() }
}

/// A text that a handle or the library owns; "" for NULL.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and lives as long as the caller says.
pub(crate) unsafe fn borrowed_text<'a>(text: *const c_char) -> &'a str {
    // The header promises UTF-8.
    if text.is_null() { "" } else { unsafe { CStr::from_ptr(text) }.to_str().unwrap_or_default() }
}

/// An argument for a `const char *`, which ends at the first NUL: one inside the text is an error about `parameter`.
pub(crate) fn c_text(text: impl Into<Vec<u8>>, parameter: &str) -> Result<CString> {
    CString::new(text).map_err(|error| {
        let place = error.nul_position();
        Error::new(Code::InvalidArgument, parameter, format!("{parameter} holds a NUL byte, at offset {place}"))
    })
}

pub(crate) fn c_path(path: &Path, parameter: &str) -> Result<CString> {
    c_text(path.as_os_str().as_encoded_bytes(), parameter)
}
