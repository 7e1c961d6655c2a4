//! What went wrong.

use std::fmt;
use std::ptr::null;

use crate::call::{borrowed_text, copied_text};
use crate::handle::Handle;
use crate::sys;

/// What every fallible function gives.
pub type Result<T> = std::result::Result<T, Error>;

/// The kind of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// An argument, recipe or option that breaks a rule.
    InvalidArgument,
    /// A call out of order; the message says which states allow it.
    InvalidState,
    /// A file, tensor or name that is not there.
    NotFound,
    /// The operating system refused to read or write.
    Io,
    /// A file or text that is not what it should be; line and column where known.
    Parse,
    /// Well-formed, but not something that this build does; the message lists what it does.
    Unsupported,
    /// Memory ran out.
    OutOfMemory,
    /// The device failed.
    Device,
    /// Stopped by a [`CancelToken`](crate::CancelToken) or by a callback.
    Cancelled,
    /// NaN, infinity or an exploding loss; the subject is the layer.
    Numeric,
    /// A defect of the library.
    Internal,
    /// A number that a newer library gave.
    Unknown(i32),
}

impl Code {
    const ALL: [(Code, sys::autoround_status); 11] = [
        (Code::InvalidArgument, sys::AUTOROUND_ERROR_INVALID_ARGUMENT),
        (Code::InvalidState, sys::AUTOROUND_ERROR_INVALID_STATE),
        (Code::NotFound, sys::AUTOROUND_ERROR_NOT_FOUND),
        (Code::Io, sys::AUTOROUND_ERROR_IO),
        (Code::Parse, sys::AUTOROUND_ERROR_PARSE),
        (Code::Unsupported, sys::AUTOROUND_ERROR_UNSUPPORTED),
        (Code::OutOfMemory, sys::AUTOROUND_ERROR_OUT_OF_MEMORY),
        (Code::Device, sys::AUTOROUND_ERROR_DEVICE),
        (Code::Cancelled, sys::AUTOROUND_ERROR_CANCELLED),
        (Code::Numeric, sys::AUTOROUND_ERROR_NUMERIC),
        (Code::Internal, sys::AUTOROUND_ERROR_INTERNAL),
    ];

    fn from_status(status: sys::autoround_status) -> Self {
        Self::ALL.iter().find(|(_, value)| *value == status).map_or(Self::Unknown(status), |(code, _)| *code)
    }

    /// The number that the C ABI gives it, negative.
    pub fn status(self) -> i32 {
        match self {
            Self::Unknown(status) => status,
            known => Self::ALL.iter().find(|(code, _)| *code == known).map_or(0, |(_, status)| *status),
        }
    }

    /// Its name in the C ABI: `"AUTOROUND_ERROR_IO"`; `"AUTOROUND_UNKNOWN"` for a number that the library does not know.
    pub fn name(self) -> &'static str {
        unsafe { borrowed_text(sys::autoround_status_name(self.status())) }
    }
}

/// What a failed call said. Prints as a line for people: file, key or tensor, what was found and what was wanted, and where in a text.
///
/// ```
/// use autoround::{Code, Model};
///
/// let error = Model::open("/no/such/model").unwrap_err();
/// assert_eq!(error.code(), Code::NotFound);
/// assert!(error.subject().contains("/no/such/model"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: Code,
    message: String,
    subject: String,
    line: Option<u32>,
    column: Option<u32>,
}

impl Error {
    pub(crate) fn new(code: Code, subject: &str, message: String) -> Self {
        Self { code, message, subject: subject.to_owned(), line: None, column: None }
    }

    pub(crate) fn from_handle(status: sys::autoround_status, error: Option<&Handle<sys::autoround_error>>) -> Self {
        let raw = error.map_or(null(), |handle| handle.as_ptr().cast_const());
        let place = |number: i32| u32::try_from(number).ok().filter(|number| *number > 0);
        unsafe {
            Self {
                code: Code::from_status(status),
                // Copied leniently: they may quote a path that is not UTF-8.
                message: copied_text(sys::autoround_error_message(raw)),
                subject: copied_text(sys::autoround_error_subject(raw)),
                line: place(sys::autoround_error_line(raw)),
                column: place(sys::autoround_error_column(raw)),
            }
        }
    }

    /// The kind of error.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What it is about: a file, a recipe key (`weights.group_size`), a tensor or layer (`model.layers.3.mlp.up_proj`), a parameter,
    /// or "".
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The line of a text that was parsed, from 1.
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    /// The column of a text that was parsed, from 1.
    pub fn column(&self) -> Option<u32> {
        self.column
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A message need not repeat what the subject says; who prints an error alone wants both.
        if !self.subject.is_empty() && !self.message.contains(&self.subject) {
            write!(formatter, "{}: ", self.subject)?;
        }
        formatter.write_str(&self.message)?;
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(formatter, " (line {line}, column {column})"),
            (Some(line), None) => write!(formatter, " (line {line})"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
