//! What the loaded library is and knows. Nothing here can fail.

use std::ffi::CString;
use std::ptr::null;

use crate::call::borrowed_text;
use crate::sys;

/// Version of the loaded library: `"0.1.0"`.
pub fn version() -> &'static str {
    unsafe { borrowed_text(sys::autoround_version_string()) }
}

/// Version of the loaded library: major * 10000 + minor * 100 + patch.
pub fn version_number() -> u32 {
    unsafe { sys::autoround_version_number() }
}

/// Changes only when an old program could break.
pub fn abi_version() -> u32 {
    unsafe { sys::autoround_abi_version() }
}

/// JSON object: version, libtorch, compiler, instruction set in use, cuda.
pub fn build_info() -> &'static str {
    unsafe { borrowed_text(sys::autoround_build_info()) }
}

/// Whether this build on this machine has `"cuda"`, `"bf16"` (multiplied in hardware), `"avx512"`, `"recipe.yaml"`, `"recipe.toml"`,
/// `"format.NAME"` or `"scheme.NAME"`. False for anything else.
///
/// ```
/// assert!(autoround::has_feature("scheme.W4A16"));
/// assert!(!autoround::has_feature("scheme.W5A17"));
/// ```
pub fn has_feature(name: &str) -> bool {
    CString::new(name).is_ok_and(|name| unsafe { sys::autoround_has_feature(name.as_ptr()) } != 0)
}

/// Preset schemes: `"W4A16"` and others.
pub fn schemes() -> impl ExactSizeIterator<Item = &'static str> {
    (0..unsafe { sys::autoround_scheme_count() })
        .map(|index| unsafe { borrowed_text(sys::autoround_scheme_name(index)) })
}

/// Output formats: `"compressed-tensors"` and others.
pub fn formats() -> impl ExactSizeIterator<Item = &'static str> {
    (0..unsafe { sys::autoround_format_count() })
        .map(|index| unsafe { borrowed_text(sys::autoround_format_name(index)) })
}

/// Handles of one kind (`"model"`, `"session"`, ...) that are alive in this process, or of all kinds. For leak checks.
pub fn live_handles<'k>(kind: impl Into<Option<&'k str>>) -> usize {
    match kind.into().map(CString::new) {
        None => unsafe { sys::autoround_live_handles(null()) },
        Some(Ok(kind)) => unsafe { sys::autoround_live_handles(kind.as_ptr()) },
        Some(Err(_)) => 0, // no kind has a NUL in its name
    }
}
