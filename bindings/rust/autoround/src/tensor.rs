//! Numbers with a shape.

use std::ptr::{NonNull, null_mut};
use std::slice;

use crate::call::{borrowed_text, c_text, check, create};
use crate::handle::Handle;
use crate::{Result, sys};

/// A contiguous tensor, last dimension fastest. Its memory may be shared with other tensors and with a run; nobody changes it.
///
/// ```
/// # let toy = autoround_toy::Toy::new();
/// # let model = autoround::Model::open(toy.model())?;
/// let norm = model.tensor("model.norm.weight")?;
/// assert_eq!((norm.dtype(), norm.shape()), ("BF16", vec![64]));
/// assert_eq!(norm.bytes().map(<[u8]>::len), Some(2 * 64));
/// # Ok::<(), autoround::Error>(())
/// ```
#[derive(Debug)]
pub struct Tensor(pub(crate) Handle<sys::autoround_tensor>);

impl Tensor {
    /// A copy of `bytes`: elements of `dtype` in the machine's byte order, last dimension fastest.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument): an unknown `dtype`, or another number of bytes than `shape` says;
    /// [`Unsupported`](crate::Code::Unsupported): elements that cannot be computed with.
    pub fn new(dtype: &str, shape: &[usize], bytes: &[u8]) -> Result<Self> {
        let dtype = c_text(dtype, "dtype")?;
        let sizes: Vec<_> = shape.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect();
        let (data, length) = (bytes.as_ptr().cast(), bytes.len());
        create(|out, error| unsafe {
            sys::autoround_tensor_new(dtype.as_ptr(), sizes.as_ptr(), sizes.len(), data, length, out, error)
        })
        .map(Self)
    }

    /// A copy of `values`, last dimension fastest.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument): another number of values than `shape` says.
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Result<Self> {
        let bytes = unsafe { slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) };
        Self::new("F32", shape, bytes)
    }

    /// Takes over a DLPack 1.x capsule in host memory and calls its deleter when nothing uses it any more. On an error the capsule stays
    /// the caller's.
    ///
    /// # Errors
    /// [`Unsupported`](crate::Code::Unsupported): version, device, element type or negative strides;
    /// [`InvalidArgument`](crate::Code::InvalidArgument): sizes or data that there cannot be.
    ///
    /// # Safety
    /// The capsule is valid, its memory does not change from now on, and its deleter may be called in any thread.
    pub unsafe fn from_dlpack(capsule: NonNull<sys::DLManagedTensorVersioned>) -> Result<Self> {
        create(|out, error| unsafe { sys::autoround_tensor_from_dlpack(capsule.as_ptr(), out, error) }).map(Self)
    }

    /// As safetensors spells it: `"U8"`, `"BF16"`, `"F16"`, `"F32"`, ...
    pub fn dtype(&self) -> &str {
        unsafe { borrowed_text(sys::autoround_tensor_dtype(self.as_ptr())) }
    }

    /// The size of each dimension.
    pub fn shape(&self) -> Vec<usize> {
        let size = |dim| usize::try_from(unsafe { sys::autoround_tensor_size(self.as_ptr(), dim) }).unwrap_or_default();
        (0..unsafe { sys::autoround_tensor_rank(self.as_ptr()) }).map(size).collect()
    }

    /// Bytes of all elements.
    pub fn byte_size(&self) -> usize {
        unsafe { sys::autoround_tensor_byte_size(self.as_ptr()) }
    }

    /// The elements in host memory, in the machine's byte order; None for a tensor on another device: see [`copy_to`](Self::copy_to).
    pub fn bytes(&self) -> Option<&[u8]> {
        let data = unsafe { sys::autoround_tensor_data(self.as_ptr()) };
        // An empty tensor has no memory.
        match (data.is_null(), self.byte_size()) {
            (_, 0) => Some(&[]),
            (true, _) => None,
            (false, size) => Some(unsafe { slice::from_raw_parts(data.cast(), size) }),
        }
    }

    /// Copies all bytes, from wherever they are.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Code::InvalidArgument) when `bytes` has another length than [`byte_size`](Self::byte_size).
    pub fn copy_to(&self, bytes: &mut [u8]) -> Result<()> {
        let (data, length) = (bytes.as_mut_ptr().cast(), bytes.len());
        check(|error| unsafe { sys::autoround_tensor_copy(self.as_ptr(), data, length, error) })
    }

    /// A DLPack 1.x capsule that shares the memory and keeps it alive. Whoever consumes it calls its deleter, and does not write to it.
    ///
    /// # Errors
    /// None of its own.
    pub fn to_dlpack(&self) -> Result<NonNull<sys::DLManagedTensorVersioned>> {
        let mut capsule = null_mut();
        check(|error| unsafe { sys::autoround_tensor_to_dlpack(self.as_ptr(), &mut capsule, error) })?;
        Ok(NonNull::new(capsule).expect("success comes with a capsule"))
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::autoround_tensor {
        self.0.as_ptr()
    }
}
