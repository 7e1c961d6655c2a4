// The wall between exceptions and status codes.
#pragma once

#include <type_traits>

#include "handles.hpp"

namespace autoround::capi {

/// Translates the exception being handled into a status and, when `out` is not NULL, an error object. Never throws:
/// when there is no memory for the object, a static one is given.
autoround_status translate_current_exception(autoround_error** out) noexcept;

/// Runs `body`; its status, or OK when it returns nothing. On an exception the error object is made and its status
/// returned.
template <class Body>
autoround_status guarded(autoround_error** error, Body&& body) noexcept {
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<Body>>) {
      body();
      return AUTOROUND_OK;
    } else {
      return body();
    }
  } catch (...) {
    return translate_current_exception(error);
  }
}

}  // namespace autoround::capi
