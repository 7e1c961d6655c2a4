// The C ABI with C++ lifetimes: a unique_ptr for each handle, an exception for each error.
#pragma once

#include <autoround/autoround.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace cli {

/// A failed call: its status, and what the library said.
class ApiError : public std::runtime_error {
 public:
  ApiError(autoround_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  autoround_status status() const noexcept { return status_; }

 private:
  autoround_status status_;
};

template <class T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* handle) const noexcept { Free(handle); }
};
template <class T, void (*Free)(T*)>
using Handle = std::unique_ptr<T, Deleter<T, Free>>;

using Context = Handle<autoround_context, autoround_context_free>;
using Recipe = Handle<autoround_recipe, autoround_recipe_free>;
using Model = Handle<autoround_model, autoround_model_free>;
using Calibration = Handle<autoround_calibration, autoround_calibration_free>;
using Options = Handle<autoround_options, autoround_options_free>;
using Result = Handle<autoround_result, autoround_result_free>;
using Text = Handle<char, autoround_string_free>;

/// Calls function(arguments..., &error) and throws what it reports.
template <class Function, class... Arguments>
autoround_status call(Function function, Arguments... arguments) {
  autoround_error* error = nullptr;
  const autoround_status status = function(arguments..., &error);
  if (status >= AUTOROUND_OK) return status;
  const Handle<autoround_error, autoround_error_free> owned(error);
  std::string message = autoround_error_message(error), place = autoround_error_subject(error);
  if (autoround_error_line(error) > 0) {
    place += ":" + std::to_string(autoround_error_line(error)) + ":" + std::to_string(autoround_error_column(error));
  }
  if (!place.empty() && message.find(place) == std::string::npos) message = place + ": " + message;
  throw ApiError(status, message);
}

/// The same for functions that give a handle through their last argument.
template <class Owner, class Function, class... Arguments>
Owner make(Function function, Arguments... arguments) {
  typename Owner::pointer out = nullptr;
  call(function, arguments..., &out);
  return Owner(out);
}

}  // namespace cli
