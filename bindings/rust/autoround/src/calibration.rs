//! Token windows to calibrate or measure on.

use std::path::Path;
use std::ptr::{null, null_mut};

use crate::call::{c_path, c_text, check, create};
use crate::handle::Handle;
use crate::{Context, Result, sys};

/// Token windows, all of one length. Shorter samples are padded and masked, longer ones cut. Everything is copied in.
///
/// ```
/// use autoround::Calibration;
///
/// let mut data = Calibration::new(16)?;
/// data.add_tokens(&[1, 2, 3])?.add_tokens(&[4, 5, 6, 7])?;
/// assert_eq!((data.sample_count(), data.token_count()), (2, 7));
/// # Ok::<(), autoround::Error>(())
/// ```
#[derive(Debug)]
pub struct Calibration(Handle<sys::autoround_calibration>);

impl Calibration {
    /// For windows of 1 to 131072 tokens.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument) for another length.
    pub fn new(sequence_length: usize) -> Result<Self> {
        Self::new_with(null_mut(), sequence_length)
    }

    /// The same; log lines about the data go to the context's sink.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn new_in(context: &Context, sequence_length: usize) -> Result<Self> {
        Self::new_with(context.as_ptr(), sequence_length)
    }

    fn new_with(context: *mut sys::autoround_context, sequence_length: usize) -> Result<Self> {
        let length = i64::try_from(sequence_length).unwrap_or(i64::MAX); // refused all the same
        create(|out, error| unsafe { sys::autoround_calibration_new(context, length, out, error) }).map(Self)
    }

    /// Path of a `tokenizer.json`; `tokenizer_config.json` and `chat_template.jinja` beside it are used when there. Needed for text, not
    /// for ids.
    ///
    /// # Errors
    /// [`NotFound`](crate::Code::NotFound), [`Io`](crate::Code::Io), [`Parse`](crate::Code::Parse).
    pub fn set_tokenizer(&mut self, tokenizer_json: impl AsRef<Path>) -> Result<&mut Self> {
        let path = c_path(tokenizer_json.as_ref(), "tokenizer_json_path")?;
        check(|error| unsafe { sys::autoround_calibration_set_tokenizer(self.as_ptr(), path.as_ptr(), error) })?;
        Ok(self)
    }

    /// One sample of token ids.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument): none, or a negative id.
    pub fn add_tokens(&mut self, ids: &[i64]) -> Result<&mut Self> {
        check(|error| unsafe { sys::autoround_calibration_add_tokens(self.as_ptr(), ids.as_ptr(), ids.len(), error) })?;
        Ok(self)
    }

    /// One sample of text, which may hold NUL; the tokenizer's special tokens are added.
    ///
    /// # Errors
    /// [`InvalidState`](crate::Code::InvalidState): no tokenizer.
    pub fn add_text(&mut self, text: &str) -> Result<&mut Self> {
        check(|error| unsafe {
            sys::autoround_calibration_add_text(self.as_ptr(), text.as_ptr().cast(), text.len(), error)
        })?;
        Ok(self)
    }

    /// A text of any length, tokenized as one without special tokens and cut into consecutive windows; a window counts the special tokens that the
    /// tokenizer puts around a sequence. At most `limit` windows, 0: all. A last partial window is padded, or dropped. Gives the number of
    /// windows added.
    ///
    /// # Errors
    /// [`InvalidState`](crate::Code::InvalidState): no tokenizer.
    pub fn add_windows(&mut self, text: &str, limit: usize, drop_last: bool) -> Result<usize> {
        let (data, length, drop_last) = (text.as_ptr().cast(), text.len(), drop_last.into());
        let mut added = 0;
        check(|error| unsafe {
            sys::autoround_calibration_add_windows(self.as_ptr(), data, length, limit, drop_last, &mut added, error)
        })?;
        Ok(added)
    }

    /// A `.jsonl` file, one sample a line, or a JSON array. `field`: `"text"`, `"messages"` (through the chat template), `"input_ids"`, or None: the first of
    /// these that a sample has. At most `limit` samples, 0: all. Gives the number of samples added. A file that fails adds nothing.
    ///
    /// # Errors
    /// [`NotFound`](crate::Code::NotFound), [`Io`](crate::Code::Io), [`Parse`](crate::Code::Parse) with the line number,
    /// [`InvalidState`](crate::Code::InvalidState): no tokenizer.
    pub fn add_jsonl(&mut self, path: impl AsRef<Path>, field: Option<&str>, limit: usize) -> Result<usize> {
        let path = c_path(path.as_ref(), "path")?;
        let field = field.map(|field| c_text(field, "field")).transpose()?;
        let field = field.as_ref().map_or(null(), |field| field.as_ptr());
        let mut added = 0;
        check(|error| unsafe {
            sys::autoround_calibration_add_jsonl(self.as_ptr(), path.as_ptr(), field, limit, &mut added, error)
        })?;
        Ok(added)
    }

    /// A file of either kind, told apart by its content: `.jsonl` lines, as [`add_jsonl`](Self::add_jsonl), or plain text, as
    /// [`add_windows`](Self::add_windows).
    ///
    /// # Errors
    /// As those two.
    pub fn add_file(&mut self, path: impl AsRef<Path>, limit: usize, drop_last: bool) -> Result<usize> {
        let path = c_path(path.as_ref(), "path")?;
        let mut added = 0;
        check(|error| unsafe {
            let drop_last = drop_last.into();
            sys::autoround_calibration_add_file(self.as_ptr(), path.as_ptr(), limit, drop_last, &mut added, error)
        })?;
        Ok(added)
    }

    /// Windows.
    pub fn sample_count(&self) -> usize {
        unsafe { sys::autoround_calibration_sample_count(self.as_ptr()) }
    }

    /// Tokens without padding.
    pub fn token_count(&self) -> u64 {
        unsafe { sys::autoround_calibration_token_count(self.as_ptr()) }.unsigned_abs()
    }

    /// Tokens of a window, padding included.
    pub fn sequence_length(&self) -> usize {
        usize::try_from(unsafe { sys::autoround_calibration_sequence_length(self.as_ptr()) }).unwrap_or_default()
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::autoround_calibration {
        self.0.as_ptr()
    }
}
