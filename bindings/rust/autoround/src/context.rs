//! Where log lines go, how many threads work.

use std::ffi::{c_char, c_void};
use std::ptr::null_mut;
use std::slice;

use crate::call::{check, create};
use crate::callback::{guarded, into_user_data, release};
use crate::handle::Handle;
use crate::{Result, sys};

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)]
pub enum LogLevel {
    /// Everything.
    Trace = sys::AUTOROUND_LOG_TRACE,
    /// For those who work on the library.
    Debug = sys::AUTOROUND_LOG_DEBUG,
    /// What a run does.
    Info = sys::AUTOROUND_LOG_INFO,
    /// What the result may suffer from.
    Warn = sys::AUTOROUND_LOG_WARN,
    /// What failed.
    Error = sys::AUTOROUND_LOG_ERROR,
    /// Nothing: the level of no line.
    Off = sys::AUTOROUND_LOG_OFF,
}

impl LogLevel {
    fn from_raw(level: i32) -> Self {
        use LogLevel::*;
        // A level that this version does not know matters more than those it knows.
        [Trace, Debug, Info, Warn].into_iter().find(|known| *known as i32 == level).unwrap_or(Error)
    }
}

/// A log sink and the number of threads. Models and calibrations are opened in one; without, they are silent.
///
/// ```
/// use autoround::{Context, LogLevel, Model};
///
/// let mut context = Context::new()?;
/// context.set_log(LogLevel::Info, |level, line| eprintln!("{level:?}: {line}"))?;
/// # let toy = autoround_toy::Toy::new();
/// # let model_dir = toy.model();
/// let model = Model::open_in(&context, model_dir)?;
/// # Ok::<(), autoround::Error>(())
/// ```
#[derive(Debug)]
pub struct Context(Handle<sys::autoround_context>);

impl Context {
    /// A silent context.
    ///
    /// # Errors
    /// None of its own.
    pub fn new() -> Result<Self> {
        create(|out, error| unsafe { sys::autoround_context_new(out, error) }).map(Self)
    }

    /// Sends lines of `level` and above to `sink`, instead of where they went before. Models and calibrations opened before keep the
    /// sink that they were opened with. `sink` is shared by the threads that work with them, hence `Fn` and `Sync`.
    ///
    /// # Errors
    /// None of its own.
    pub fn set_log<F>(&mut self, level: LogLevel, sink: F) -> Result<()>
    where
        F: Fn(LogLevel, &str) + Send + Sync + 'static,
    {
        let sink = into_user_data(sink);
        check(|error| unsafe {
            let release = Some(release::<F> as _);
            sys::autoround_context_set_log(self.as_ptr(), level as i32, Some(on_line::<F>), sink, release, error)
        })
    }

    /// Makes the context silent again, for what is opened from now on.
    ///
    /// # Errors
    /// None of its own.
    pub fn silence(&mut self) -> Result<()> {
        check(|error| unsafe {
            sys::autoround_context_set_log(self.as_ptr(), LogLevel::Off as i32, None, null_mut(), None, error)
        })
    }

    /// Threads inside one operation, 1 to 1024, on models and layers that are opened with the context from now on; 0: as many as
    /// LibTorch has on the thread that makes a call.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument) above 1024.
    pub fn set_threads(&mut self, intra_op: u16) -> Result<()> {
        check(|error| unsafe { sys::autoround_context_set_threads(self.as_ptr(), intra_op.into(), error) })
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::autoround_context {
        self.0.as_ptr()
    }
}

/// # Safety
/// Called by the library: `user_data` is a live `F`, `text` has `length` bytes.
unsafe extern "C" fn on_line<F>(user_data: *mut c_void, level: i32, text: *const c_char, length: usize)
where
    F: Fn(LogLevel, &str),
{
    guarded(|| {
        let (sink, text) = unsafe { (&*user_data.cast::<F>(), slice::from_raw_parts(text.cast(), length)) };
        sink(LogLevel::from_raw(level), &String::from_utf8_lossy(text));
    });
}
