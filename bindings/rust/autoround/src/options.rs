//! What the host decides, not the recipe.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::path::Path;

use crate::call::{c_path, c_text, check, create};
use crate::callback::{guarded, into_user_data, release};
use crate::handle::Handle;
use crate::{CancelToken, Event, Events, Result, sys};

/// Device, outputs, cancel token and callback of one run, which takes them: a callback belongs to one run. `'a` is how long what the callback
/// borrows lives.
///
/// The callback cannot outlive what it borrows:
///
/// ```compile_fail,E0597
/// # use autoround::{Events, Options};
/// # use std::ops::ControlFlow;
/// let mut options = Options::new()?;
/// {
///     let mut count = 0;
///     options.set_callback(Events::ITERATION, |_| { count += 1; ControlFlow::Continue(()) })?;
/// } // `count` is gone, `options` is not
/// # Ok::<(), autoround::Error>(())
/// ```
#[derive(Debug)]
pub struct Options<'a> {
    handle: Handle<sys::autoround_options>,
    callback: PhantomData<Callback<'a>>,
}

/// What the options own besides their handle: without it, the borrow checker would not know of the closure.
pub(crate) type Callback<'a> = Box<dyn FnMut(&Event) -> ControlFlow<()> + Send + 'a>;

impl<'a> Options<'a> {
    /// Everything at its default: CPU, no output directory, no callback.
    ///
    /// # Errors
    /// None of its own.
    pub fn new() -> Result<Self> {
        let handle = create(|out, error| unsafe { sys::autoround_options_new(out, error) })?;
        Ok(Self { handle, callback: PhantomData })
    }

    /// `"cpu"` (default), `"cuda"` (the first CUDA device), `"cuda:1"`, ... The first CUDA device that is named loads LibTorch's CUDA libraries,
    /// which takes seconds; LibTorch cannot take them in after the process has tuned on the CPU.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument): not a device; [`Unsupported`](crate::Code::Unsupported): no driver, no plug-in or no such
    /// device; the message says what is missing.
    pub fn set_device(&mut self, device: &str) -> Result<&mut Self> {
        let device = c_text(device, "device")?;
        check(|error| unsafe { sys::autoround_options_set_device(self.as_ptr(), device.as_ptr(), error) })?;
        Ok(self)
    }

    /// `"bf16"` or `"fp32"`. Default: bf16 where the CPU multiplies it in hardware;
    /// [`Model::perplexity`](crate::Model::perplexity): fp32.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument) for another.
    pub fn set_compute_dtype(&mut self, dtype: &str) -> Result<&mut Self> {
        let dtype = c_text(dtype, "dtype")?;
        check(|error| unsafe { sys::autoround_options_set_compute_dtype(self.as_ptr(), dtype.as_ptr(), error) })?;
        Ok(self)
    }

    /// Overrides the recipe's seed.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument) above [`i64::MAX`].
    pub fn set_seed(&mut self, seed: u64) -> Result<&mut Self> {
        check(|error| unsafe { sys::autoround_options_set_seed(self.as_ptr(), seed, error) })?;
        Ok(self)
    }

    /// True: the same seed and thread count give the same bytes. False allows faster operations whose last bits differ. Default: true
    /// on the CPU, where no operation is faster for it; false on CUDA.
    ///
    /// # Errors
    /// None of its own.
    pub fn set_deterministic(&mut self, on: bool) -> Result<&mut Self> {
        check(|error| unsafe { sys::autoround_options_set_deterministic(self.as_ptr(), on.into(), error) })?;
        Ok(self)
    }

    /// A run is to stay below `bytes` of memory on `device`: on the CPU by streams in files and smaller passes. A limit that
    /// cannot be kept is refused before the run starts, with [`InvalidArgument`](crate::Code::InvalidArgument) and the smallest
    /// that can. 0: no limit.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument): not a device; it need not be there.
    pub fn set_memory_limit(&mut self, device: &str, bytes: u64) -> Result<&mut Self> {
        let device = c_text(device, "device")?;
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX); // more than any machine has
        check(|error| unsafe {
            sys::autoround_options_set_memory_limit(self.as_ptr(), device.as_ptr(), bytes, error)
        })?;
        Ok(self)
    }

    /// Where the run writes and in which format. Each call adds one directory, created when absent, empty otherwise, never the model's own
    /// or a place inside it. The output is streamed, and the folder appears when all is done. Without any call the tensors stay in memory:
    /// [`Layer::tensor`](crate::Layer::tensor).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument) when either is "", [`Unsupported`](crate::Code::Unsupported) for a format that is
    /// not one of [`formats`](crate::formats).
    pub fn set_output(&mut self, directory: impl AsRef<Path>, format: &str) -> Result<&mut Self> {
        let (directory, format) = (c_path(directory.as_ref(), "directory")?, c_text(format, "format")?);
        check(|error| unsafe {
            sys::autoround_options_set_output(self.as_ptr(), directory.as_ptr(), format.as_ptr(), error)
        })?;
        Ok(self)
    }

    /// True: a run that is killed, cancelled or fails leaves its finished blocks beside the output, and a run with true goes on after
    /// those that it finds, with the same bytes as one run without a break. False (default): nothing is left, and what a killed run left
    /// is removed. Needs an output directory; what another model, recipe, calibration, thread count, CPU or library version has made is
    /// refused with [`InvalidState`](crate::Code::InvalidState).
    ///
    /// # Errors
    /// None of its own.
    pub fn set_resume(&mut self, on: bool) -> Result<&mut Self> {
        check(|error| unsafe { sys::autoround_options_set_resume(self.as_ptr(), on.into(), error) })?;
        Ok(self)
    }

    /// The run stops when a stop is requested of the token, which is shared, not taken.
    ///
    /// # Errors
    /// None of its own.
    pub fn set_cancel(&mut self, token: &CancelToken) -> Result<&mut Self> {
        check(|error| unsafe { sys::autoround_options_set_cancel(self.as_ptr(), token.as_ptr(), error) })?;
        Ok(self)
    }

    /// Calls `callback` for `events`, instead of the callback before, on the thread that runs. `Break` stops the run with
    /// [`Cancelled`](crate::Code::Cancelled). A panic stops it too, and goes on from the call that runs.
    ///
    /// ```
    /// use autoround::{Calibration, Events, Model, Options, Recipe, oneshot};
    /// use std::ops::ControlFlow;
    ///
    /// # let toy = autoround_toy::Toy::new();
    /// # let model = Model::open(toy.model())?;
    /// # let mut recipe = Recipe::new()?;
    /// # recipe.set("scheme", "W4A16")?.set("weights.group_size", 64)?.set("iters", 3)?.set("batch_size", 4)?;
    /// # let mut data = Calibration::new(16)?;
    /// # data.add_jsonl(toy.jsonl(), None, 0)?;
    /// let mut losses = Vec::new();
    /// let mut options = Options::new()?;
    /// options.set_callback(Events::BLOCK_END, |event| {
    ///     losses.push((event.name().to_owned(), event.loss()));
    ///     ControlFlow::Continue(())
    /// })?;
    /// oneshot(&model, &recipe, &data, options)?;
    /// assert_eq!(losses[1].0, "model.layers.1");
    /// # Ok::<(), autoround::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument) for bits that the library does not know.
    pub fn set_callback<F>(&mut self, events: Events, callback: F) -> Result<&mut Self>
    where
        F: FnMut(&Event) -> ControlFlow<()> + Send + 'a,
    {
        let callback = into_user_data(callback);
        check(|error| unsafe {
            let (options, release) = (self.as_ptr(), Some(release::<F> as _));
            sys::autoround_options_set_callback(options, events.bits(), Some(on_event::<F>), callback, release, error)
        })?;
        Ok(self)
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::autoround_options {
        self.handle.as_ptr()
    }
}

/// # Safety
/// Called by the library: `user_data` is a live `F` that nobody else uses, for options belong to one run.
unsafe extern "C" fn on_event<F>(user_data: *mut c_void, event: *const sys::autoround_event) -> i32
where
    F: FnMut(&Event) -> ControlFlow<()>,
{
    let (callback, event) = unsafe { (&mut *user_data.cast::<F>(), Event::from_raw(event)) };
    match guarded(|| callback(&event)) {
        Some(ControlFlow::Continue(())) => 0,
        _ => 1,
    }
}
