#include <ATen/DLConvertor.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstring>

#include "base/text.hpp"
#include "checkpoint/tensor_info.hpp"
#include "guard.hpp"
#include "model/weight_source.hpp"

using namespace autoround::capi;
using autoround::Code;
using autoround::fail;
namespace ar = autoround;

namespace {

/// Of a tensor with sizes from a host: none may be negative, and the product a number of bytes that there can be. That
/// holds without the sizes of zero too, for strides are products of the others.
std::uint64_t byte_size(const std::vector<std::int64_t>& sizes, std::size_t item) {
  std::uint64_t bytes = item;
  bool is_empty = false;
  for (const std::int64_t size : sizes) {
    if (size < 0)
      fail(Code::invalid_argument, "sizes", ar::concat({"a size is negative: ", ar::checkpoint::shape_text(sizes)}));
    is_empty = is_empty || size == 0;
    if (__builtin_mul_overflow(bytes, std::max<std::uint64_t>(size, 1), &bytes) || bytes >> 62 != 0)
      fail(Code::invalid_argument, "sizes",
           ar::concat({"no tensor has as many elements as ", ar::checkpoint::shape_text(sizes), " says"}));
  }
  return is_empty ? 0 : bytes;
}

at::ScalarType element_type(const DLDataType& type) {
  try {
    return at::toScalarType(type);
  } catch (const c10::Error&) {
    fail(Code::unsupported, "managed",
         ar::concat({"elements of DLPack type ", std::to_string(type.code), " with ", std::to_string(type.bits),
                     " bits and ", std::to_string(type.lanes), " lanes cannot be computed with"}));
  }
}

void release(DLManagedTensorVersioned* managed) {
  if (managed->deleter) managed->deleter(managed);
}

}  // namespace

autoround_status autoround_tensor_new(const char* dtype, const int64_t* sizes, size_t rank, const void* data,
                                      size_t length, autoround_tensor** out, autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    const std::string name = text(dtype, "dtype");
    const auto known = ar::checkpoint::parse_dtype(name);
    if (!known)
      fail(Code::invalid_argument, "dtype", ar::concat({"`", name, "` is not an element type; F32, F16 and BF16 are"}));
    const at::ScalarType type = ar::model::torch_type(*known);
    if (!sizes && rank > 0) fail(Code::invalid_argument, "sizes", "sizes is NULL");
    const std::vector<std::int64_t> shape(sizes, sizes + rank);
    const std::uint64_t bytes = byte_size(shape, c10::elementSize(type));
    if (length != bytes)
      fail(Code::invalid_argument, "length",
           ar::concat({std::to_string(length), " bytes for a tensor ", ar::checkpoint::shape_text(shape), " of ", name,
                       ", which has ", std::to_string(bytes)}));
    if (!data && length > 0) fail(Code::invalid_argument, "data", "data is NULL");
    at::Tensor copy = at::empty(shape, type);
    if (length > 0) std::memcpy(copy.mutable_data_ptr(), data, length);
    *out = new_tensor(copy);
  });
}

autoround_status autoround_tensor_from_dlpack(struct DLManagedTensorVersioned* managed, autoround_tensor** out,
                                              autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    if (!managed) fail(Code::invalid_argument, "managed", "managed is NULL");
    if (managed->version.major != DLPACK_MAJOR_VERSION)
      fail(Code::unsupported, "managed",
           ar::concat({"the capsule is of DLPack ", std::to_string(managed->version.major), ", wanted ",
                       std::to_string(DLPACK_MAJOR_VERSION)}));
    const DLTensor& given = managed->dl_tensor;
    if (given.device.device_type != kDLCPU)
      fail(Code::unsupported, "managed", "the tensor is not in host memory (kDLCPU); copy it there first");
    if (given.ndim < 0 || (given.ndim > 0 && !given.shape))
      fail(Code::invalid_argument, "managed", "the tensor has no shape");
    const at::ScalarType type = element_type(given.dtype);
    const std::vector<std::int64_t> shape(given.shape, given.shape + given.ndim);
    const std::uint64_t bytes = byte_size(shape, c10::elementSize(type));
    std::vector<std::int64_t> strides(shape.size(), 1);
    for (std::size_t dim = shape.size(); dim-- > 0;) {
      if (given.strides)
        strides[dim] = given.strides[dim];
      else if (dim + 1 < shape.size())
        strides[dim] = strides[dim + 1] * shape[dim + 1];
      if (strides[dim] < 0) fail(Code::unsupported, "managed", "a stride is negative; copy the tensor first");
    }
    if (!given.data && bytes > 0) fail(Code::invalid_argument, "managed", "the data is NULL");

    // Nothing fails after the capsule was taken over: until then it is the caller's.
    void* data = static_cast<char*>(given.data) + given.byte_offset;
    auto handle = std::make_unique<autoround_tensor>();
    const at::Tensor view = at::from_blob(data, shape, strides, type);
    if (view.is_contiguous()) {
      handle->impl = at::from_blob(data, shape, [managed](void*) { release(managed); }, type);
    } else {
      handle->impl = view.contiguous();
      release(managed);
    }
    *out = handle.release();
  });
}

const char* autoround_tensor_dtype(const autoround_tensor* tensor) noexcept {
  if (!peek(tensor)) return "";
  try {
    return ar::checkpoint::dtype_name(ar::model::disk_type(tensor->impl.scalar_type())).data();
  } catch (const ar::Error&) {
    return "";  // a type that no checkpoint has
  }
}
size_t autoround_tensor_rank(const autoround_tensor* tensor) noexcept {
  return peek(tensor) ? static_cast<size_t>(tensor->impl.dim()) : 0;
}
int64_t autoround_tensor_size(const autoround_tensor* tensor, size_t dim) noexcept {
  return dim < autoround_tensor_rank(tensor) ? tensor->impl.sizes()[dim] : 0;
}
size_t autoround_tensor_byte_size(const autoround_tensor* tensor) noexcept {
  return peek(tensor) ? tensor->impl.nbytes() : 0;
}
const void* autoround_tensor_data(const autoround_tensor* tensor) noexcept {
  return peek(tensor) && tensor->impl.is_cpu() ? tensor->impl.const_data_ptr() : nullptr;
}

autoround_status autoround_tensor_copy(const autoround_tensor* tensor, void* bytes, size_t length,
                                       autoround_error** error) noexcept {
  return guarded(error, [&] {
    const at::Tensor host = deref(tensor, "tensor").impl.cpu();
    if (!bytes) fail(Code::invalid_argument, "bytes", "bytes is NULL");
    if (length != host.nbytes())
      fail(Code::invalid_argument, "length",
           "a buffer of " + std::to_string(length) + " bytes for a tensor of " + std::to_string(host.nbytes()));
    std::memcpy(bytes, host.const_data_ptr(), length);
  });
}

autoround_status autoround_tensor_to_dlpack(const autoround_tensor* tensor, struct DLManagedTensorVersioned** out,
                                            autoround_error** error) noexcept {
  return guarded(error, [&] {
    out_parameter(out);
    *out = at::toDLPackVersioned(deref(tensor, "tensor").impl);
  });
}

void autoround_tensor_free(autoround_tensor* tensor) noexcept {
  if (peek(tensor)) delete tensor;
}
