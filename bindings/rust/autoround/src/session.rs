//! A run.

use std::marker::PhantomData;
use std::ptr::null;

use crate::call::{c_text, check, create, status};
use crate::handle::Handle;
use crate::options::Callback;
use crate::{Calibration, Model, Options, Recipe, Result, RunResult, sys};

/// Where a [`Session`] is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Nothing has been checked yet.
    Created,
    /// Every module has its scheme or none, and all that can fail early has been checked.
    Initialized,
    /// Blocks can be tuned.
    Started,
    /// Every block is tuned.
    Ended,
    /// The outputs are visible.
    Finalized,
    /// A step failed: drop the session.
    Failed,
    /// A number that a newer library gave.
    Unknown(i32),
}

/// One run, step by step: for a host that looks at the model between blocks, spreads a run over its own scheduler or stops after a block.
/// The bytes are those of [`oneshot`].
///
/// After a failed step the session is [`State::Failed`]. A call out of order or with a wrong argument changes nothing.
///
/// ```
/// use autoround::{Calibration, Model, Options, Recipe, Session, State};
///
/// # let toy = autoround_toy::Toy::new();
/// # let model = Model::open(toy.model())?;
/// # let mut recipe = Recipe::new()?;
/// # recipe.set("scheme", "W4A16")?.set("weights.group_size", 64)?.set("iters", 2)?.set("batch_size", 4)?;
/// # let mut data = Calibration::new(16)?;
/// # data.add_jsonl(toy.jsonl(), None, 0)?;
/// # let options = Options::new()?;
/// let mut session = Session::new(&model, &recipe, &data, options)?;
/// session.initialize()?; // everything that can fail early fails here
/// session.start()?;
/// while let Some(block) = session.next_block()? {
///     session.sequential_epoch_end()?;
///     println!("{} tuned", model.block_name(block).unwrap_or_default());
/// }
/// session.end()?;
/// let result = session.finalize()?;
/// assert_eq!(session.state(), State::Finalized);
/// # Ok::<(), autoround::Error>(())
/// ```
///
/// A session goes to another thread, and is not used by two at once:
///
/// ```
/// fn may_move<T: Send>() {}
/// may_move::<autoround::Session>();
/// ```
///
/// ```compile_fail,E0277
/// fn may_be_shared<T: Sync>() {}
/// may_be_shared::<autoround::Session>();
/// ```
#[derive(Debug)]
pub struct Session<'a> {
    handle: Handle<sys::autoround_session>,
    callback: PhantomData<Callback<'a>>,
}

impl<'a> Session<'a> {
    /// Takes the options and copies of recipe and data; shares the model. `data` may be None when the recipe's `iters` is 0.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument): the recipe breaks a rule.
    pub fn new<'d>(
        model: &Model,
        recipe: &Recipe,
        data: impl Into<Option<&'d Calibration>>,
        options: Options<'a>,
    ) -> Result<Self> {
        let data = data.into().map_or(null(), |data| data.as_ptr().cast_const());
        let handle = create(|out, error| unsafe {
            sys::autoround_session_new(model.as_ptr(), recipe.as_ptr(), data, options.as_ptr(), out, error)
        })?;
        Ok(Self { handle, callback: PhantomData })
    }

    /// Where the session is.
    pub fn state(&self) -> State {
        match unsafe { sys::autoround_session_state(self.as_ptr()) } {
            sys::AUTOROUND_STATE_CREATED => State::Created,
            sys::AUTOROUND_STATE_INITIALIZED => State::Initialized,
            sys::AUTOROUND_STATE_STARTED => State::Started,
            sys::AUTOROUND_STATE_ENDED => State::Ended,
            sys::AUTOROUND_STATE_FINALIZED => State::Finalized,
            sys::AUTOROUND_STATE_FAILED => State::Failed,
            other => State::Unknown(other),
        }
    }

    /// Created to initialized. Gives every module its scheme or none and checks all that can fail before a weight is read: unmatched
    /// targets, columns that a group size does not divide (all of them), a format that cannot hold a scheme, layers that readers fuse with
    /// different schemes, token ids, output folders, free disk.
    ///
    /// # Errors
    /// [`InvalidState`](crate::Code::InvalidState), [`InvalidArgument`](crate::Code::InvalidArgument),
    /// [`Unsupported`](crate::Code::Unsupported), [`Io`](crate::Code::Io), [`Parse`](crate::Code::Parse),
    /// [`Cancelled`](crate::Code::Cancelled).
    pub fn initialize(&mut self) -> Result<()> {
        check(|error| unsafe { sys::autoround_session_initialize(self.as_ptr(), error) })
    }

    /// Initialized to started: input-capture hooks on, outputs reserved, tensors that are not quantized copied.
    ///
    /// # Errors
    /// [`InvalidState`](crate::Code::InvalidState) (also: another run writes the same folder),
    /// [`InvalidArgument`](crate::Code::InvalidArgument) (the folder is not empty), [`Io`](crate::Code::Io),
    /// [`Cancelled`](crate::Code::Cancelled).
    pub fn start(&mut self) -> Result<()> {
        check(|error| unsafe { sys::autoround_session_start(self.as_ptr(), error) })
    }

    /// Runs the data to the next decoder layer and captures its inputs and full-precision output. Gives its index, None after the last.
    ///
    /// # Errors
    /// [`InvalidState`](crate::Code::InvalidState) (also: the block before was not tuned), [`Io`](crate::Code::Io),
    /// [`Parse`](crate::Code::Parse) (a weight that is NaN or infinite), [`Numeric`](crate::Code::Numeric) (as the block before was
    /// written), [`Cancelled`](crate::Code::Cancelled).
    pub fn next_block(&mut self) -> Result<Option<usize>> {
        let mut block = 0;
        let status = status(|error| unsafe { sys::autoround_session_next_block(self.as_ptr(), &mut block, error) })?;
        Ok((status != sys::AUTOROUND_DONE).then_some(block))
    }

    /// Tunes that block and writes its tensors to every output.
    ///
    /// # Errors
    /// [`InvalidState`](crate::Code::InvalidState), [`Io`](crate::Code::Io), [`Numeric`](crate::Code::Numeric),
    /// [`Cancelled`](crate::Code::Cancelled).
    pub fn sequential_epoch_end(&mut self) -> Result<()> {
        check(|error| unsafe { sys::autoround_session_sequential_epoch_end(self.as_ptr(), error) })
    }

    /// The same for a caller that walks the model itself and names the modules of the part that has just been run. No decoding layer among
    /// them: nothing to do; one: tunes it.
    ///
    /// # Errors
    /// Those of [`sequential_epoch_end`](Self::sequential_epoch_end); [`InvalidArgument`](crate::Code::InvalidArgument) for more than one.
    pub fn sequential_epoch_end_modules(&mut self, module_names: &[impl AsRef<str>]) -> Result<()> {
        let names =
            module_names.iter().map(|name| c_text(name.as_ref(), "module_names")).collect::<Result<Vec<_>>>()?;
        let pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        check(|error| unsafe {
            let (names, count) = (pointers.as_ptr(), pointers.len());
            sys::autoround_session_sequential_epoch_end_modules(self.as_ptr(), names, count, error)
        })
    }

    /// Started to ended, once every block is tuned: layers outside the blocks are rounded, hooks off.
    ///
    /// # Errors
    /// [`InvalidState`](crate::Code::InvalidState), [`Io`](crate::Code::Io), [`Parse`](crate::Code::Parse),
    /// [`Numeric`](crate::Code::Numeric), [`Cancelled`](crate::Code::Cancelled).
    pub fn end(&mut self) -> Result<()> {
        check(|error| unsafe { sys::autoround_session_end(self.as_ptr(), error) })
    }

    /// To finalized: writes index and config, makes the outputs visible. Ends the run when it has not ended.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    pub fn finalize(&mut self) -> Result<RunResult> {
        create(|out, error| unsafe { sys::autoround_session_finalize(self.as_ptr(), out, error) }).map(RunResult)
    }

    fn as_ptr(&self) -> *mut sys::autoround_session {
        self.handle.as_ptr()
    }
}

/// A whole run in one call. `data` may be None when the recipe's `iters` is 0.
///
/// # Errors
/// Those of [`Session::new`] and of its steps. After an error no output folder is left.
pub fn oneshot<'d>(
    model: &Model,
    recipe: &Recipe,
    data: impl Into<Option<&'d Calibration>>,
    options: Options<'_>,
) -> Result<RunResult> {
    let data = data.into().map_or(null(), |data| data.as_ptr().cast_const());
    create(|out, error| unsafe {
        sys::autoround_oneshot(model.as_ptr(), recipe.as_ptr(), data, options.as_ptr(), out, error)
    })
    .map(RunResult)
}
