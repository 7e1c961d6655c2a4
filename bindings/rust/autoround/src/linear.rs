//! Single layers, for programs with model code of their own.

use std::ptr::{null, null_mut};

use crate::call::{c_text, check, create};
use crate::handle::Handle;
use crate::{Context, Options, Recipe, Result, RunResult, Tensor, sys};

/// One linear layer of a program that runs its model itself: a weight and what came into it. No checkpoint, no tokenizer. Tuned as the
/// blocks of a [`Model`](crate::Model) are, against the layer's own full-precision output.
///
/// ```
/// use autoround::{Linear, Options, Part, Recipe, Tensor};
///
/// # let values = |count: usize| (0..count).map(|i| ((i * i) % 31) as f32 / 31.0 - 0.5).collect::<Vec<_>>();
/// # let (weight, x) = (values(16 * 64), values(8 * 4 * 64));
/// let mut layer = Linear::new("mlp.up_proj", &Tensor::from_f32(&[16, 64], &weight)?, None)?;
/// layer.add_inputs(&Tensor::from_f32(&[8, 4, 64], &x)?, None)?; // once for each text that ran through the model
/// let mut recipe = Recipe::new()?;
/// recipe.set("scheme", "W4A16")?.set("weights.group_size", 32)?;
/// # recipe.set("iters", 5)?;
/// let result = layer.tune(&recipe, Options::new()?)?;
/// let tuned = result.layers().next().expect("one layer");
/// assert_eq!(tuned.tensor(Part::Qweight)?.shape(), [16, 64]);
/// assert_eq!(tuned.tensor(Part::Scales)?.shape(), [16, 2]);
/// # Ok::<(), autoround::Error>(())
/// ```
#[derive(Debug)]
pub struct Linear(Handle<sys::autoround_layer>);

impl Linear {
    /// `weight` of shape out, in and a `bias` of shape out, finite F32, F16 or BF16, whose memory is shared. `name` is what the targets and
    /// ignores of a recipe match.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument) (name, shape), [`Unsupported`](crate::Code::Unsupported) (element type),
    /// [`Numeric`](crate::Code::Numeric) (NaN or infinity, with its place).
    pub fn new(name: &str, weight: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        Self::new_with(null_mut(), name, weight, bias)
    }

    /// The same; log lines about its runs go to the context's sink.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn new_in(context: &Context, name: &str, weight: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        Self::new_with(context.as_ptr(), name, weight, bias)
    }

    fn new_with(
        context: *mut sys::autoround_context,
        name: &str,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Self> {
        let name = c_text(name, "name")?;
        create(|out, error| unsafe {
            sys::autoround_layer_new(context, name.as_ptr(), weight.as_ptr(), or_null(bias), out, error)
        })
        .map(Self)
    }

    /// `inputs` of shape tokens, in (one sample) or samples, tokens, in. A minibatch is the recipe's `batch_size` samples; shorter ones are
    /// padded and masked. `targets`, the outputs that are wanted for them, are of the same shape with out; None: what the full-precision
    /// layer makes of the inputs. For all samples or for none. Shares the memory of both.
    ///
    /// # Errors
    /// As [`new`](Self::new); nothing is added then.
    pub fn add_inputs(&mut self, inputs: &Tensor, targets: Option<&Tensor>) -> Result<&mut Self> {
        check(|error| unsafe {
            sys::autoround_layer_add_inputs(self.as_ptr(), inputs.as_ptr(), or_null(targets), error)
        })?;
        Ok(self)
    }

    /// Samples that were added.
    pub fn sample_count(&self) -> usize {
        unsafe { sys::autoround_layer_sample_count(self.as_ptr()) }
    }

    /// Their tokens, without padding.
    pub fn token_count(&self) -> u64 {
        unsafe { sys::autoround_layer_token_count(self.as_ptr()) }.unsigned_abs()
    }

    /// Tunes the layer with the scheme that the recipe gives a `Linear` of its name, and leaves it as it is: it may be tuned again. The
    /// result has one block and one layer. `iters: 0` needs no inputs; with some it searches scales before it rounds.
    /// Output directories are refused.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument): the recipe breaks a rule or leaves the layer alone, a group size does not divide
    /// the columns, there are no inputs, the memory limit is too low. [`Unsupported`](crate::Code::Unsupported),
    /// [`Io`](crate::Code::Io) (the files that a memory limit asks for), [`Numeric`](crate::Code::Numeric),
    /// [`Cancelled`](crate::Code::Cancelled).
    pub fn tune(&self, recipe: &Recipe, options: Options<'_>) -> Result<RunResult> {
        create(|out, error| unsafe {
            sys::autoround_layer_tune(self.as_ptr(), recipe.as_ptr(), options.as_ptr(), out, error)
        })
        .map(RunResult)
    }

    fn as_ptr(&self) -> *mut sys::autoround_layer {
        self.0.as_ptr()
    }
}

fn or_null(tensor: Option<&Tensor>) -> *const sys::autoround_tensor {
    tensor.map_or(null(), |tensor| tensor.as_ptr().cast_const())
}
