//! Quantize LLM checkpoints with AutoRound **inside your own process**: a Hugging Face folder and a recipe in, a folder a third of
//! the size out that vLLM and transformers load unmodified. Safe Rust over the C ABI of libautoround.
//!
//! ```
//! use autoround::{Calibration, Events, Model, Options, Recipe, oneshot};
//! use std::ops::ControlFlow;
//!
//! # let toy = autoround_toy::Toy::new();
//! # let (model_dir, chats, output) = (toy.model(), toy.jsonl(), toy.path("W4A16"));
//! let model = Model::open(&model_dir)?;
//! let mut recipe = Recipe::new()?;
//! recipe.set("scheme", "W4A16")?.set("weights.group_size", 64)?.append("ignore", "lm_head")?;
//! # recipe.set("iters", 2)?.set("batch_size", 4)?;
//! # const SEQUENCE_LENGTH: usize = 16;
//! let mut data = Calibration::new(SEQUENCE_LENGTH)?;
//! data.add_jsonl(&chats, None, 128)?;
//! let mut options = Options::new()?;
//! options.set_output(&output, "compressed-tensors")?.set_callback(Events::BLOCK_END, |event| {
//!     println!("{:5.1} %  {}", 100.0 * event.fraction(), event.name());
//!     ControlFlow::Continue(()) // Break(()) stops the run
//! })?;
//! let result = oneshot(&model, &recipe, &data, options)?;
//! println!("{} blocks tuned", result.blocks().len());
//! # assert_eq!(result.blocks().len(), 2);
//! # Ok::<(), autoround::Error>(())
//! ```
//!
//! # Rules
//!
//! - **Ownership.** Every type owns its handle and frees it when dropped; they may be dropped in any order, for a handle keeps what
//!   it depends on alive.
//! - **Threads.** A handle may move between threads and is used by one at a time: all types are `Send` and not `Sync`. The exception
//!   is [`CancelToken`], which is cloned and used anywhere. Two sessions may run in two threads, each with as many
//!   threads inside as its [`Context`] says.
//! - **Callbacks** run on the thread that made the call, before it returns. A panic in one stops the run and goes on in the caller
//!   once the call has come back.
//! - **Errors** are values of type [`Error`]: code, sentence, subject, line and column. Beside those named at each function, every
//!   fallible function can give [`Code::OutOfMemory`], and [`Code::InvalidArgument`] for text with a NUL byte where the library
//!   takes none; what runs on a GPU gives [`Code::Device`] when the GPU or its driver fails. Nothing is printed and nothing exits.
//! - **Same bytes.** The same model, recipe, data, seed and thread count give the same files.

#![deny(missing_docs, missing_debug_implementations)]

mod calibration;
mod call;
mod callback;
mod cancel;
mod context;
mod error;
mod events;
mod handle;
mod linear;
mod model;
mod options;
mod recipe;
mod result;
mod session;
mod tensor;
mod version;

pub use autoround_sys as sys;

pub use calibration::Calibration;
pub use cancel::CancelToken;
pub use context::{Context, LogLevel};
pub use error::{Code, Error, Result};
pub use events::{Event, Events};
pub use linear::Linear;
pub use model::{Model, Module};
pub use options::Options;
pub use recipe::{Recipe, RecipeKey, RecipeValue, Syntax};
pub use result::{Block, Layer, Part, RunResult};
pub use session::{Session, State, oneshot};
pub use tensor::Tensor;
pub use version::{abi_version, build_info, formats, has_feature, live_handles, schemes, version, version_number};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
