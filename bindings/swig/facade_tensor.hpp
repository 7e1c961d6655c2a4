/* Tensors that the library hands out, and those that a host makes for it. */
#ifndef AUTOROUND_FACADE_TENSOR_HPP
#define AUTOROUND_FACADE_TENSOR_HPP
#include "facade_base.hpp"

namespace autoround {

class Tensor {
 public:
  /* A copy of the elements, in C order, of which there are as many as the sizes say, which come as
   * ids do. */
  Status *create(Text dtype, const int64_t *ids, size_t count, const uint8_t *elements, size_t length) noexcept {
    return detail::call(autoround_tensor_new, dtype, ids, count, static_cast<const void *>(elements), length, handle_.out());
  }
  const char *dtype() const noexcept { return autoround_tensor_dtype(raw()); }
  size_t rank() const noexcept { return autoround_tensor_rank(raw()); }
  int64_t size(size_t dim) const noexcept { return autoround_tensor_size(raw(), dim); }
  size_t byteSize() const noexcept { return autoround_tensor_byte_size(raw()); }
  /* A part of the memory, for languages whose views count in 32 bits; nothing when it is not all there. */
  Bytes bytes(size_t offset, size_t length) const noexcept {
    const char *data = static_cast<const char *>(autoround_tensor_data(raw()));
    if (!data || offset > byteSize() || length > byteSize() - offset) return {nullptr, 0};
    return {data + offset, length};
  }
#ifndef SWIG
  autoround_tensor *raw() const noexcept { return handle_.get(); }
  autoround_tensor **out() noexcept { return handle_.out(); }
#endif
 private:
  detail::Handle<autoround_tensor, autoround_tensor_free> handle_;
};

} /* namespace autoround */
#endif
