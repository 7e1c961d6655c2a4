#include <ATen/DLConvertor.h>
#include <ATen/core/Tensor.h>

#include <cstring>

#include "checkpoint/tensor_info.hpp"
#include "guard.hpp"
#include "model/weight_source.hpp"

using namespace autoround::capi;
using autoround::Code;
using autoround::fail;
namespace ar = autoround;

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
