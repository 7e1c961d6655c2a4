// What is behind each opaque pointer. Every handle begins with a tag that names its type, so a wrong pointer is an
// error and not a crash, and that counts how many of the type are alive. Handles hold shared pointers: any order of
// freeing is fine.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <memory>
#include <string>

#include "autoround/autoround.h"
#include "base/cancel.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "calibration/sample_set.hpp"
#include "recipe/recipe.hpp"
#include "session/layer.hpp"
#include "session/model.hpp"
#include "session/options.hpp"
#include "session/result.hpp"
#include "session/session.hpp"

namespace autoround::capi {

enum class Kind : std::uint32_t {
  error,
  context,
  cancel,
  recipe,
  model,
  calibration,
  options,
  session,
  event,
  tensor,
  result,
  layer
};
constexpr std::size_t kind_count = 12;

const char* kind_name(Kind kind) noexcept;
std::atomic<std::size_t>& live(Kind kind) noexcept;

template <Kind K>
class Tag {
 public:
  static constexpr Kind kind = K;
  Tag() noexcept { live(K).fetch_add(1, std::memory_order_relaxed); }
  Tag(const Tag&) = delete;
  Tag& operator=(const Tag&) = delete;
  ~Tag() {
    live(K).fetch_sub(1, std::memory_order_relaxed);
    value_ = 0;
  }
  static constexpr std::uint32_t expected = 0xA0704D00u + static_cast<std::uint32_t>(K);
  bool valid() const noexcept { return value_ == expected; }

 private:
  volatile std::uint32_t value_ = expected;  // volatile: the destructor's store is for whoever uses a freed handle
};

/// For getters, which cannot fail: the handle when it is one, else NULL.
template <class Handle>
const Handle* peek(const Handle* handle) noexcept {
  return handle && handle->tag.valid() ? handle : nullptr;
}

/// Of a pointer that is NULL or no live handle of its type. @throws Error invalid_argument with the parameter's name
[[noreturn]] void refuse(const void* pointer, const char* parameter);

/// A pointer argument that must be a live handle of its type. @throws Error invalid_argument with the parameter's name
template <class Handle>
Handle& deref(Handle* handle, const char* parameter) {
  if (!peek(handle)) refuse(handle, parameter);
  return *handle;
}

/// The same for a handle that may be NULL.
template <class Handle>
Handle* deref_or_null(Handle* handle, const char* parameter) {
  return handle ? &deref(handle, parameter) : nullptr;
}

/// A const char * argument. @throws Error invalid_argument when NULL
std::string text(const char* value, const char* parameter);
std::string text(const char* value, std::size_t length, const char* parameter);

/// Checks an out-parameter and sets it to NULL until there is something to give. A statement of its own: in an
/// assignment what is on the right would be made first, and lost where out is NULL.
template <class T>
void out_parameter(T** out) {
  if (!out) refuse(out, "out");
  *out = nullptr;
}

char* owned_string(const std::string& value);  // for autoround_string_free

/// A host's (fn, user_data) pair; release runs when the last owner lets go.
template <class Fn>
struct Callback {
  Callback(Fn fn_in, void* user_data_in, autoround_release_fn release_in)
      : fn(fn_in), user_data(user_data_in), release(release_in) {}
  Callback(const Callback&) = delete;
  Callback& operator=(const Callback&) = delete;
  ~Callback() {
    if (release) release(user_data);
  }
  Fn fn;
  void* user_data;
  autoround_release_fn release;
};

autoround_tensor* new_tensor(const at::Tensor& tensor);  // contiguous

}  // namespace autoround::capi

struct autoround_error {
  autoround::capi::Tag<autoround::capi::Kind::error> tag;
  autoround_status status = AUTOROUND_ERROR_INTERNAL;
  std::string message, subject;
  int line = 0, column = 0;
};
struct autoround_context {
  autoround::capi::Tag<autoround::capi::Kind::context> tag;
  autoround::Logger log;
  int threads = 0;
};
struct autoround_cancel {
  autoround::capi::Tag<autoround::capi::Kind::cancel> tag;
  std::shared_ptr<autoround::CancelToken> impl = std::make_shared<autoround::CancelToken>();
};
struct autoround_recipe {
  autoround::capi::Tag<autoround::capi::Kind::recipe> tag;
  autoround::recipe::Recipe impl;
};
struct autoround_model {
  autoround::capi::Tag<autoround::capi::Kind::model> tag;
  std::shared_ptr<const autoround::session::Model> impl;
};
struct autoround_calibration {
  autoround::capi::Tag<autoround::capi::Kind::calibration> tag;
  autoround::calibration::SampleSet impl;
};
struct autoround_options {
  autoround::capi::Tag<autoround::capi::Kind::options> tag;
  autoround::session::Options impl;
};
struct autoround_session {
  autoround::capi::Tag<autoround::capi::Kind::session> tag;
  std::unique_ptr<autoround::session::Session> impl;
};
struct autoround_layer {
  autoround::capi::Tag<autoround::capi::Kind::layer> tag;
  autoround::session::Layer impl;
};
struct autoround_event {
  autoround::capi::Tag<autoround::capi::Kind::event> tag;
  const autoround::session::Event* impl = nullptr;
};
struct autoround_tensor {
  autoround::capi::Tag<autoround::capi::Kind::tensor> tag;
  at::Tensor impl;
};
struct autoround_result {
  autoround::capi::Tag<autoround::capi::Kind::result> tag;
  std::shared_ptr<const autoround::session::Result> impl;
};
