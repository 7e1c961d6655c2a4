//! A request to stop.

use std::sync::Arc;

use crate::handle::Handle;
use crate::sys;

/// A request to stop that can be made before or during a run, from any thread or a signal handler. It is sticky, and may be given to
/// several runs: [`Options::set_cancel`](crate::Options::set_cancel). A run stops within one iteration, with
/// [`Code::Cancelled`](crate::Code::Cancelled). Clones are the same token.
///
/// ```
/// use autoround::{Calibration, CancelToken, Code, Model, Options, Recipe, oneshot};
/// use std::{thread, time::Duration};
///
/// # let toy = autoround_toy::Toy::new();
/// # let model = Model::open(toy.model())?;
/// # let mut recipe = Recipe::new()?;
/// # recipe.set("scheme", "W4A16")?.set("weights.group_size", 64)?.set("iters", 100_000)?.set("batch_size", 4)?;
/// # let mut data = Calibration::new(16)?;
/// # data.add_jsonl(toy.jsonl(), None, 0)?;
/// let token = CancelToken::new();
/// let mut options = Options::new()?;
/// options.set_cancel(&token)?;
/// thread::spawn(move || {
///     thread::sleep(Duration::from_millis(200));
///     token.request();
/// });
/// let error = oneshot(&model, &recipe, &data, options).unwrap_err();
/// assert_eq!(error.code(), Code::Cancelled);
/// # Ok::<(), autoround::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct CancelToken(Arc<Shared>);

#[derive(Debug)]
struct Shared(Handle<sys::autoround_cancel>);

// SAFETY: rule 4 of autoround.h: autoround_cancel_* may be called from any thread; the Arc frees once.
unsafe impl Sync for Shared {}

impl CancelToken {
    /// A token that nobody has asked to stop yet.
    ///
    /// # Panics
    /// When memory runs out.
    pub fn new() -> Self {
        let handle = unsafe { Handle::from_raw(sys::autoround_cancel_new()) };
        Self(Arc::new(Shared(handle.expect("memory for a cancel token"))))
    }

    /// Asks every run that was given this token to stop, now and in future. Safe in a signal handler.
    pub fn request(&self) {
        unsafe { sys::autoround_cancel_request(self.as_ptr()) }
    }

    /// Whether a stop was requested.
    pub fn is_requested(&self) -> bool {
        unsafe { sys::autoround_cancel_is_requested(self.as_ptr()) != 0 }
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::autoround_cancel {
        self.0.0.as_ptr()
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}
