//! What a run did.

use std::ffi::CStr;

use crate::call::{borrowed_text, create, owned_text};
use crate::handle::Handle;
use crate::{Result, Tensor, sys};

/// Statistics of a run, and its tensors when it had no output directory.
#[derive(Debug)]
pub struct RunResult(pub(crate) Handle<sys::autoround_result>);

impl RunResult {
    /// What was tuned together: decoder layers one by one, or as many as the recipe's `nblocks` says; a [`Linear`](crate::Linear).
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = Block<'_>> {
        (0..unsafe { sys::autoround_result_block_count(self.as_ptr()) }).map(|index| Block { result: self, index })
    }

    /// Every linear layer of the model in module order, quantized or not.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = Layer<'_>> {
        (0..unsafe { sys::autoround_result_layer_count(self.as_ptr()) }).map(|index| Layer { result: self, index })
    }

    /// Sentences about what the result may suffer from.
    pub fn warnings(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..unsafe { sys::autoround_result_warning_count(self.as_ptr()) })
            .map(|index| unsafe { borrowed_text(sys::autoround_result_warning(self.as_ptr(), index)) })
    }

    /// The account of the run as JSON.
    ///
    /// # Errors
    /// None of its own.
    pub fn report(&self) -> Result<String> {
        owned_text(|out, error| unsafe { sys::autoround_result_report(self.as_ptr(), out, error) })
    }

    /// The account of the run as one self-contained HTML page.
    ///
    /// # Errors
    /// None of its own.
    pub fn report_html(&self) -> Result<String> {
        owned_text(|out, error| unsafe { sys::autoround_result_report_html(self.as_ptr(), out, error) })
    }

    fn as_ptr(&self) -> *mut sys::autoround_result {
        self.0.as_ptr()
    }
}

/// How one block was tuned.
#[derive(Debug, Clone, Copy)]
pub struct Block<'r> {
    result: &'r RunResult,
    index: usize,
}

impl<'r> Block<'r> {
    /// `"model.layers.3"`; of several layers `"model.layers.2-3"`.
    pub fn name(&self) -> &'r str {
        unsafe { borrowed_text(sys::autoround_result_block_name(self.result.as_ptr(), self.index)) }
    }

    /// Mean squared error of the block's output over all samples, real tokens only, rounded to nearest. NaN without data.
    pub fn loss_before(&self) -> f64 {
        unsafe { sys::autoround_result_block_loss_before(self.result.as_ptr(), self.index) }
    }

    /// The same as it was tuned.
    pub fn loss_after(&self) -> f64 {
        unsafe { sys::autoround_result_block_loss_after(self.result.as_ptr(), self.index) }
    }

    /// The iteration that was kept; None: rounding to nearest was.
    pub fn best_iteration(&self) -> Option<u64> {
        u64::try_from(unsafe { sys::autoround_result_block_best_iteration(self.result.as_ptr(), self.index) }).ok()
    }

    /// Seconds that the block took.
    pub fn seconds(&self) -> f64 {
        unsafe { sys::autoround_result_block_seconds(self.result.as_ptr(), self.index) }
    }
}

/// A tensor of a quantized layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// U8 of shape out, in: codes from 0 to 2^bits - 1, or the bits of floating-point numbers.
    Qweight,
    /// Of shape out, groups; of blocks in FP8_BLOCK; F8_E4M3 in NVFP4 and U8 exponents in MX formats.
    Scales,
    /// U8 of the shape of the scales; asymmetric integers only.
    ZeroPoints,
    /// F32 of shape out, in: dequantized as loaders do, rounded to the type of the scales.
    Weight,
    /// F32 of one element, the divisor of NVFP4 scales.
    GlobalScale,
    /// I8 of shape out, groups; only K types of GGUF, of whose scales each is for several groups.
    ScaleFactors,
    /// F16 of the shape of the scales; only asymmetric K types of GGUF.
    Minima,
    /// I8 of shape out, groups; only asymmetric K types of GGUF.
    MinimumFactors,
    /// The scale of a quantized input, of one element; static ones only.
    InputScale,
    /// F32 of one element, the divisor of the scales of NVFP4 inputs.
    InputGlobalScale,
}

impl Part {
    fn name(self) -> &'static CStr {
        match self {
            Self::Qweight => c"qweight",
            Self::Scales => c"scales",
            Self::ZeroPoints => c"zero_points",
            Self::Weight => c"weight",
            Self::GlobalScale => c"global_scale",
            Self::ScaleFactors => c"scale_factors",
            Self::Minima => c"minima",
            Self::MinimumFactors => c"minimum_factors",
            Self::InputScale => c"input_scale",
            Self::InputGlobalScale => c"input_global_scale",
        }
    }
}

/// What became of one linear layer.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'r> {
    result: &'r RunResult,
    index: usize,
}

impl<'r> Layer<'r> {
    /// `"model.layers.3.mlp.up_proj"`.
    pub fn name(&self) -> &'r str {
        unsafe { borrowed_text(sys::autoround_result_layer_name(self.result.as_ptr(), self.index)) }
    }

    /// Its scheme; None when it was not quantized.
    pub fn scheme(&self) -> Option<&'r str> {
        let scheme = unsafe { borrowed_text(sys::autoround_result_layer_scheme(self.result.as_ptr(), self.index)) };
        (!scheme.is_empty()).then_some(scheme)
    }

    /// Why it was not quantized; "" when it was.
    pub fn reason(&self) -> &'r str {
        unsafe { borrowed_text(sys::autoround_result_layer_reason(self.result.as_ptr(), self.index)) }
    }

    /// One of its tensors.
    ///
    /// # Errors
    /// [`InvalidState`](crate::Code::InvalidState): the run wrote its tensors to an output directory;
    /// [`NotFound`](crate::Code::NotFound): the layer was not quantized, or has no such part.
    pub fn tensor(&self, part: Part) -> Result<Tensor> {
        let (result, part) = (self.result.as_ptr(), part.name().as_ptr());
        create(|out, error| unsafe { sys::autoround_result_layer_tensor(result, self.index, part, out, error) })
            .map(Tensor)
    }
}
