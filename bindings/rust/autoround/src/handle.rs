//! One owner for every kind of handle.

use std::ffi::c_char;
use std::fmt;
use std::ptr::NonNull;

use crate::sys;

/// What the library makes and only its matching function frees.
pub(crate) trait Opaque {
    /// # Safety
    /// `raw` came from the library and is not used again.
    unsafe fn free(raw: *mut Self);
}

macro_rules! freed_by {
    ($($type:ty => $free:ident;)*) => {$(
        impl Opaque for $type {
            unsafe fn free(raw: *mut Self) {
                unsafe { sys::$free(raw) }
            }
        }
    )*};
}

freed_by! {
    sys::autoround_error => autoround_error_free;
    sys::autoround_context => autoround_context_free;
    sys::autoround_cancel => autoround_cancel_free;
    sys::autoround_recipe => autoround_recipe_free;
    sys::autoround_model => autoround_model_free;
    sys::autoround_calibration => autoround_calibration_free;
    sys::autoround_options => autoround_options_free;
    sys::autoround_session => autoround_session_free;
    sys::autoround_layer => autoround_layer_free;
    sys::autoround_tensor => autoround_tensor_free;
    sys::autoround_result => autoround_result_free;
    c_char => autoround_string_free;
}

/// Owns a handle. Not `Sync`, because a pointer is not.
pub(crate) struct Handle<T: Opaque>(NonNull<T>);

impl<T: Opaque> Handle<T> {
    /// # Safety
    /// `raw` is NULL or came from the library and belongs to the caller.
    pub(crate) unsafe fn from_raw(raw: *mut T) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }

    pub(crate) fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T: Opaque> fmt::Debug for Handle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Pointer::fmt(&self.0, formatter)
    }
}

impl<T: Opaque> Drop for Handle<T> {
    fn drop(&mut self) {
        unsafe { T::free(self.as_ptr()) }
    }
}

// SAFETY: rule 4 of autoround.h: a handle may move between threads.
unsafe impl<T: Opaque> Send for Handle<T> {}
