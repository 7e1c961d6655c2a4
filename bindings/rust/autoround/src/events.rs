//! What a run tells its callback.

use std::ops::BitOr;

use crate::call::{borrowed_text, create};
use crate::{Result, Tensor, sys};

/// Kinds of events as bits: one for [`Event::kind`], any number for [`Options::set_callback`](crate::Options::set_callback).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Events(i32);

impl Events {
    /// The start and the finish of a run; every layer of [`Model::perplexity`](crate::Model::perplexity).
    pub const PROGRESS: Self = Self(sys::AUTOROUND_EVENT_PROGRESS);
    /// A block is about to be tuned.
    pub const BLOCK_BEGIN: Self = Self(sys::AUTOROUND_EVENT_BLOCK_BEGIN);
    /// The captured inputs of a block can be read.
    pub const BLOCK_INPUTS: Self = Self(sys::AUTOROUND_EVENT_BLOCK_INPUTS);
    /// One iteration of tuning.
    pub const ITERATION: Self = Self(sys::AUTOROUND_EVENT_ITERATION);
    /// A block has been tuned.
    pub const BLOCK_END: Self = Self(sys::AUTOROUND_EVENT_BLOCK_END);

    /// Bits of the C ABI. Those that a newer library has added are accepted.
    pub const fn from_bits(bits: i32) -> Self {
        Self(bits)
    }

    /// Bits of the C ABI.
    pub const fn bits(self) -> i32 {
        self.0
    }
}

impl BitOr for Events {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What happened. Lives while the callback runs; copy what you need.
#[derive(Debug)]
pub struct Event(*const sys::autoround_event);

impl Event {
    /// # Safety
    /// `raw` is the library's for as long as this lives.
    pub(crate) unsafe fn from_raw(raw: *const sys::autoround_event) -> Self {
        Self(raw)
    }

    /// One of the constants of [`Events`], or a bit that this version does not know.
    pub fn kind(&self) -> Events {
        Events(unsafe { sys::autoround_event_what(self.0) })
    }

    /// Of the whole run, 0 to 1.
    pub fn fraction(&self) -> f64 {
        unsafe { sys::autoround_event_fraction(self.0) }
    }

    /// Index of the block.
    pub fn block(&self) -> Option<usize> {
        usize::try_from(unsafe { sys::autoround_event_block(self.0) }).ok()
    }

    /// Of the block or stage.
    pub fn name(&self) -> &str {
        unsafe { borrowed_text(sys::autoround_event_name(self.0)) }
    }

    /// Index of the iteration; at [`Events::BLOCK_END`] of the best one, None when rounding to nearest was kept.
    pub fn iteration(&self) -> Option<u64> {
        u64::try_from(unsafe { sys::autoround_event_iteration(self.0) }).ok()
    }

    /// Mean squared error of the block's output; at [`Events::BLOCK_END`] over all samples.
    pub fn loss(&self) -> Option<f64> {
        let loss = unsafe { sys::autoround_event_loss(self.0) };
        (!loss.is_nan()).then_some(loss)
    }

    /// At [`Events::BLOCK_INPUTS`] 2, else 0.
    pub fn input_count(&self) -> usize {
        unsafe { sys::autoround_event_input_count(self.0) }
    }

    /// An input of the block, of shape samples, tokens, hidden: 0 is the full-precision stream, 1 the quantized stream. The tensor shares
    /// memory with the run, which does not change it, and may be kept.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument) for a wrong index.
    pub fn input(&self, index: usize) -> Result<Tensor> {
        create(|out, error| unsafe { sys::autoround_event_input(self.0, index, out, error) }).map(Tensor)
    }
}
