//! A checkpoint folder.

use std::path::Path;
use std::ptr::{null, null_mut};

use crate::call::{borrowed_text, c_path, c_text, check, create, owned_text};
use crate::handle::Handle;
use crate::{Calibration, Context, Options, Recipe, Result, Tensor, sys};

/// A Hugging Face folder of which the headers have been read: `config.json` and safetensors, in full precision or
/// compressed-tensors. Weights are read when a run needs them, and the folder is never changed.
#[derive(Debug)]
pub struct Model(Handle<sys::autoround_model>);

impl Model {
    /// Opens a folder, silently.
    ///
    /// # Errors
    /// [`NotFound`](crate::Code::NotFound), [`Io`](crate::Code::Io), [`Parse`](crate::Code::Parse) (naming file, key, tensor, offset),
    /// [`Unsupported`](crate::Code::Unsupported) (model type, pickle files, quantization).
    pub fn open(directory: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(null_mut(), directory.as_ref())
    }

    /// Opens a folder; log lines about it and its runs go to the context's sink.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_in(context: &Context, directory: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(context.as_ptr(), directory.as_ref())
    }

    fn open_with(context: *mut sys::autoround_context, directory: &Path) -> Result<Self> {
        let directory = c_path(directory, "directory")?;
        // Options are reserved: nothing in them is used yet.
        create(|out, error| unsafe { sys::autoround_model_open(context, directory.as_ptr(), null(), out, error) })
            .map(Self)
    }

    /// `"LlamaForCausalLM"`.
    pub fn architecture(&self) -> &str {
        unsafe { borrowed_text(sys::autoround_model_architecture(self.as_ptr())) }
    }

    /// Stored elements.
    pub fn parameter_count(&self) -> u64 {
        unsafe { sys::autoround_model_parameter_count(self.as_ptr()) }.unsigned_abs()
    }

    /// Of all tensors.
    pub fn byte_size(&self) -> u64 {
        unsafe { sys::autoround_model_byte_size(self.as_ptr()) }.unsigned_abs()
    }

    /// Decoder layers, tuned one at a time.
    pub fn block_count(&self) -> usize {
        unsafe { sys::autoround_model_block_count(self.as_ptr()) }
    }

    /// `"model.layers.3"`; None beyond the last.
    pub fn block_name(&self, block: usize) -> Option<&str> {
        let name = unsafe { borrowed_text(sys::autoround_model_block_name(self.as_ptr(), block)) };
        (!name.is_empty()).then_some(name)
    }

    /// Modules in the order of `named_modules`: what the targets and ignores of a recipe match.
    ///
    /// ```
    /// # let toy = autoround_toy::Toy::new();
    /// # let model = autoround::Model::open(toy.model())?;
    /// let linear: Vec<_> = model.modules().filter(|module| module.class() == "Linear").collect();
    /// assert_eq!(linear[0].name(), "model.layers.0.self_attn.q_proj");
    /// assert_eq!(linear[0].block(), Some(0));
    /// assert_eq!((linear[0].size(0), linear[0].size(1)), (64, 64));
    /// # Ok::<(), autoround::Error>(())
    /// ```
    pub fn modules(&self) -> impl ExactSizeIterator<Item = Module<'_>> {
        let count = unsafe { sys::autoround_model_module_count(self.as_ptr()) };
        (0..count).map(|index| Module { model: self, index })
    }

    /// A tensor of the checkpoint as it is stored, by its name.
    ///
    /// # Errors
    /// [`NotFound`](crate::Code::NotFound), [`Io`](crate::Code::Io), [`Unsupported`](crate::Code::Unsupported) (its element type).
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let name = c_text(name, "name")?;
        create(|out, error| unsafe { sys::autoround_model_tensor(self.as_ptr(), name.as_ptr(), out, error) })
            .map(Tensor)
    }

    /// exp of the mean negative log-likelihood (natural log) of every token of a window but its first. Streams layer by layer, and also
    /// reads folders that this library wrote. Of the options, device, compute dtype (default fp32 here), cancel token and callback are used.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument) (no windows, an id outside the vocabulary), [`Io`](crate::Code::Io),
    /// [`Parse`](crate::Code::Parse) (a weight that is NaN or infinite), [`Unsupported`](crate::Code::Unsupported),
    /// [`Cancelled`](crate::Code::Cancelled), [`Numeric`](crate::Code::Numeric).
    pub fn perplexity(&self, data: &Calibration, options: Options<'_>) -> Result<f64> {
        let mut perplexity = 0.0;
        check(|error| unsafe {
            sys::autoround_model_perplexity(self.as_ptr(), data.as_ptr(), options.as_ptr(), &mut perplexity, error)
        })?;
        Ok(perplexity)
    }

    /// JSON: what the recipe would do to each linear layer, and the memory (bytes), disk (bytes) and time (seconds) that the run is
    /// predicted to need. No weights are read. Without data, the recipe's `nsamples` and `seqlen` count.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument), [`Unsupported`](crate::Code::Unsupported), as
    /// [`Session::initialize`](crate::Session::initialize) gives them.
    pub fn plan<'d>(
        &self,
        recipe: &Recipe,
        data: impl Into<Option<&'d Calibration>>,
        options: &Options<'_>,
    ) -> Result<String> {
        let data = data.into().map_or(null(), |data| data.as_ptr().cast_const());
        owned_text(|out, error| unsafe {
            sys::autoround_model_plan(self.as_ptr(), recipe.as_ptr(), data, options.as_ptr(), out, error)
        })
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::autoround_model {
        self.0.as_ptr()
    }
}

/// One module of a [`Model`].
#[derive(Debug, Clone, Copy)]
pub struct Module<'m> {
    model: &'m Model,
    index: usize,
}

impl<'m> Module<'m> {
    /// `"model.layers.0.mlp.up_proj"`.
    pub fn name(&self) -> &'m str {
        unsafe { borrowed_text(sys::autoround_model_module_name(self.model.as_ptr(), self.index)) }
    }

    /// `"Linear"`.
    pub fn class(&self) -> &'m str {
        unsafe { borrowed_text(sys::autoround_model_module_class(self.model.as_ptr(), self.index)) }
    }

    /// The block that it is in.
    pub fn block(&self) -> Option<usize> {
        usize::try_from(unsafe { sys::autoround_model_module_block(self.model.as_ptr(), self.index) }).ok()
    }

    /// Size of its weight along a dimension (`"Linear"`: 0 is out, 1 is in features); 0 beyond its rank.
    pub fn size(&self, dim: usize) -> usize {
        let size = unsafe { sys::autoround_model_module_size(self.model.as_ptr(), self.index, dim) };
        usize::try_from(size).unwrap_or_default()
    }
}
