#include <c10/util/Exception.h>

#include <memory>
#include <new>
#include <string>

#include "guard.hpp"

namespace autoround::capi {
namespace {

/// Given when memory for an error object ran out; autoround_error_free leaves it alone.
autoround_error& out_of_memory_error() noexcept {
  struct Static {
    autoround_error error;
    Static() {
      error.status = AUTOROUND_ERROR_OUT_OF_MEMORY;
      error.message = "out of memory";
      live(Kind::error).fetch_sub(1, std::memory_order_relaxed);  // nobody has to free it
    }
  };
  static Static object;
  return object.error;
}
[[maybe_unused]] const autoround_error& constructed_at_load =
    out_of_memory_error();  // at load time, while there is memory

autoround_status give(autoround_error** out, autoround_status status, const char* subject, const char* message,
                      int line, int column) noexcept {
  if (!out) return status;
  try {
    auto error = std::make_unique<autoround_error>();
    error->status = status;
    error->subject = subject;
    error->message = message;
    error->line = line;
    error->column = column;
    *out = error.release();
  } catch (const std::bad_alloc&) {
    *out = &out_of_memory_error();
    return AUTOROUND_ERROR_OUT_OF_MEMORY;
  }
  return status;
}

/// What LibTorch has no exception type for: of the CPU's allocator, of cuBLAS.
bool is_allocation_failure(const c10::Error& error) {
  const std::string_view text = error.what_without_backtrace();
  return text.find("can't allocate memory") != text.npos || text.find("CUBLAS_STATUS_ALLOC_FAILED") != text.npos;
}

}  // namespace

autoround_status translate_current_exception(autoround_error** out) noexcept {
  try {
    throw;
  } catch (const Error& e) {
    return give(out, static_cast<autoround_status>(e.code()), e.subject().c_str(), e.what(), e.line(), e.column());
  } catch (const std::bad_alloc&) {
    if (out) *out = &out_of_memory_error();
    return AUTOROUND_ERROR_OUT_OF_MEMORY;
  } catch (const c10::OutOfMemoryError& e) {
    return give(out, AUTOROUND_ERROR_OUT_OF_MEMORY, "", e.what_without_backtrace(), 0, 0);
  } catch (const c10::AcceleratorError& e) {
    constexpr std::int32_t out_of_memory = 2;  // of CUDA: a graph, a launch or pinned memory had none
    const auto status = e.get_error_code() == out_of_memory ? AUTOROUND_ERROR_OUT_OF_MEMORY : AUTOROUND_ERROR_DEVICE;
    return give(out, status, "device", e.what_without_backtrace(), 0, 0);
  } catch (const c10::Error& e) {
    const autoround_status status = is_allocation_failure(e) ? AUTOROUND_ERROR_OUT_OF_MEMORY : AUTOROUND_ERROR_INTERNAL;
    return give(out, status, "libtorch", e.what_without_backtrace(), 0, 0);
  } catch (const std::exception& e) {
    return give(out, AUTOROUND_ERROR_INTERNAL, "", e.what(), 0, 0);
  } catch (...) {
    return give(out, AUTOROUND_ERROR_INTERNAL, "", "an exception of unknown type", 0, 0);
  }
}

}  // namespace autoround::capi

using autoround::capi::peek;

const char* autoround_status_name(autoround_status status) noexcept {
  switch (status) {
    case AUTOROUND_OK:
      return "AUTOROUND_OK";
    case AUTOROUND_DONE:
      return "AUTOROUND_DONE";
    case AUTOROUND_ERROR_INVALID_ARGUMENT:
      return "AUTOROUND_ERROR_INVALID_ARGUMENT";
    case AUTOROUND_ERROR_INVALID_STATE:
      return "AUTOROUND_ERROR_INVALID_STATE";
    case AUTOROUND_ERROR_NOT_FOUND:
      return "AUTOROUND_ERROR_NOT_FOUND";
    case AUTOROUND_ERROR_IO:
      return "AUTOROUND_ERROR_IO";
    case AUTOROUND_ERROR_PARSE:
      return "AUTOROUND_ERROR_PARSE";
    case AUTOROUND_ERROR_UNSUPPORTED:
      return "AUTOROUND_ERROR_UNSUPPORTED";
    case AUTOROUND_ERROR_OUT_OF_MEMORY:
      return "AUTOROUND_ERROR_OUT_OF_MEMORY";
    case AUTOROUND_ERROR_DEVICE:
      return "AUTOROUND_ERROR_DEVICE";
    case AUTOROUND_ERROR_CANCELLED:
      return "AUTOROUND_ERROR_CANCELLED";
    case AUTOROUND_ERROR_NUMERIC:
      return "AUTOROUND_ERROR_NUMERIC";
    case AUTOROUND_ERROR_INTERNAL:
      return "AUTOROUND_ERROR_INTERNAL";
    default:
      return "AUTOROUND_UNKNOWN";
  }
}

autoround_status autoround_error_status(const autoround_error* error) noexcept {
  return peek(error) ? error->status : AUTOROUND_OK;
}
const char* autoround_error_message(const autoround_error* error) noexcept {
  return peek(error) ? error->message.c_str() : "";
}
const char* autoround_error_subject(const autoround_error* error) noexcept {
  return peek(error) ? error->subject.c_str() : "";
}
int32_t autoround_error_line(const autoround_error* error) noexcept { return peek(error) ? error->line : 0; }
int32_t autoround_error_column(const autoround_error* error) noexcept { return peek(error) ? error->column : 0; }

void autoround_error_free(autoround_error* error) noexcept {
  if (peek(error) && error != &autoround::capi::out_of_memory_error()) delete error;
}

void autoround_string_free(char* text) noexcept { delete[] text; }
