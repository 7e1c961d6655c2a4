// A pool from the forward to the backward pass of an operation, which takes from it too.
#pragma once

#include "model/autograd_names.hpp"
#include "model/buffer_pool.hpp"

namespace autoround::model {

using Pool = c10::intrusive_ptr<BufferPool>;

inline void keep_pool(AutogradContext* ctx, const Pool& pool) {
  ctx->saved_data["pool"] = c10::IValue::make_capsule(pool);
}
inline Pool kept_pool(AutogradContext* ctx) {
  return c10::static_intrusive_pointer_cast<BufferPool>(ctx->saved_data["pool"].toCapsule());
}

}  // namespace autoround::model
