//! Closures behind C function pointers. A panic must not unwind through the frames of the library: it waits in the thread, whose call
//! is about to return, and goes on from there.

use std::any::Any;
use std::cell::Cell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

thread_local! {
    // Callbacks run on the thread that made the call, so this is the call's own.
    static CAUGHT: Cell<Option<Box<dyn Any + Send>>> = const { Cell::new(None) };
}

/// Runs a closure of the host for the library. None when it panicked, or when one before it in the same call has.
pub(crate) fn guarded<R>(closure: impl FnOnce() -> R) -> Option<R> {
    let waiting = CAUGHT.take();
    if waiting.is_some() {
        CAUGHT.set(waiting);
        return None;
    }
    // Unwind safe: nothing looks at what the closure left behind before the panic goes on.
    catch_unwind(AssertUnwindSafe(closure)).map_err(|panic| CAUGHT.set(Some(panic))).ok()
}

/// To be called after every call that may have run closures.
pub(crate) fn resume_panic() {
    if let Some(panic) = CAUGHT.take() {
        resume_unwind(panic);
    }
}

/// The pointer by which the library passes a closure on; it belongs to whoever calls `release::<F>` with it.
pub(crate) fn into_user_data<F>(closure: F) -> *mut c_void {
    Box::into_raw(Box::new(closure)).cast()
}

/// # Safety
/// `user_data` came from `into_user_data::<F>` and is not used again.
pub(crate) unsafe extern "C" fn release<F>(user_data: *mut c_void) {
    let closure = unsafe { Box::from_raw(user_data.cast::<F>()) };
    // The library may release inside any _free: there is no call that a panic of a destructor could go on from.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(closure))) {
        std::mem::forget(panic); // whose own destructor may panic again
    }
}
