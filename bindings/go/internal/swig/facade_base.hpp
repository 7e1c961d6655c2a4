/* What the classes of facade.hpp are made of: texts, statuses, owned handles, and the calls between them. */
#ifndef AUTOROUND_FACADE_BASE_HPP
#define AUTOROUND_FACADE_BASE_HPP
#include <autoround/autoround.h>

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace autoround {

/* Text of the host, borrowed for one call: UTF-8, may hold NUL. data is null for the host's null. */
struct Text {
  const char *data;
  size_t size;
};
/* Memory of a tensor, borrowed from it. */
struct Bytes {
  const void *data;
  size_t size;
};

/* What a failed call said. The host deletes it. */
class Status {
 public:
  int code() const noexcept { return code_; }
  const char *message() const noexcept { return error_ ? autoround_error_message(error_) : message_; }
  const char *subject() const noexcept { return autoround_error_subject(error_); }
  int line() const noexcept { return autoround_error_line(error_); }
  int column() const noexcept { return autoround_error_column(error_); }
  ~Status() { autoround_error_free(error_); }
#ifndef SWIG
  Status(autoround_status code, autoround_error *error, const char *message = "")
      : code_(code), error_(error), message_(message) {}
  Status(const Status &) = delete;
  Status &operator=(const Status &) = delete;
#endif
 private:
  autoround_status code_;
  autoround_error *error_;
  const char *message_; /* static; for what is found here and not in the library */
};

#ifndef SWIG
namespace detail {

template <class T, void (*Free)(T *)>
class Handle {
 public:
  Handle() = default;
  Handle(const Handle &) = delete;
  Handle &operator=(const Handle &) = delete;
  ~Handle() { Free(handle_); }
  T *get() const noexcept { return handle_; }
  T **out() noexcept { /* for an out-parameter; what was there is freed */
    Free(handle_);
    handle_ = nullptr;
    return &handle_;
  }

 private:
  T *handle_ = nullptr;
};

/* The handle of an argument that the host may leave out. */
template <class Object>
auto raw(const Object *object) noexcept -> decltype(object->raw()) {
  return object ? object->raw() : nullptr;
}

/* An argument on its way to the C library: as it is, or, for Text, as a NUL-terminated copy. */
template <class T>
class Argument {
 public:
  explicit Argument(const T &value) noexcept : value_(value) {}
  T get() const noexcept { return value_; }
  autoround_status fault() const noexcept { return AUTOROUND_OK; }

 private:
  T value_;
};
template <>
class Argument<Text> {
 public:
  explicit Argument(const Text &text) noexcept {
    if (!text.data) return;
    if (text.size && std::memchr(text.data, 0, text.size)) { /* a name or path is refused, not cut short */
      fault_ = AUTOROUND_ERROR_INVALID_ARGUMENT;
    } else if (!(copy_ = static_cast<char *>(std::malloc(text.size + 1)))) {
      fault_ = AUTOROUND_ERROR_OUT_OF_MEMORY;
    } else {
      if (text.size) std::memcpy(copy_, text.data, text.size);
      copy_[text.size] = 0;
    }
  }
  Argument(const Argument &) = delete;
  Argument &operator=(const Argument &) = delete;
  ~Argument() { std::free(copy_); }
  const char *get() const noexcept { return copy_; }
  autoround_status fault() const noexcept { return fault_; }

 private:
  char *copy_ = nullptr;
  autoround_status fault_ = AUTOROUND_OK;
};

/* The Status of an argument's fault; null when it has none. */
inline Status *refused(autoround_status fault) noexcept {
  if (!fault) return nullptr;
  return new Status(fault, nullptr, fault == AUTOROUND_ERROR_OUT_OF_MEMORY ? "memory has run out" : "a name or path holds a NUL character");
}

template <class Function, class... Arguments>
Status *invoke(Function function, const Argument<Arguments> &...arguments) noexcept {
  for (const autoround_status fault : std::initializer_list<autoround_status>{arguments.fault()...})
    if (Status *failed = refused(fault)) return failed;
  autoround_error *error = nullptr;
  const autoround_status status = function(arguments.get()..., &error);
  return status < AUTOROUND_OK ? new Status(status, error) : nullptr;
}
/* Empty stands for absent. */
inline Text optional(Text text) noexcept { return text.size ? text : Text{nullptr, 0}; }
/* function(arguments..., &error) as a Status. */
template <class Function, class... Arguments>
Status *call(Function function, const Arguments &...arguments) noexcept {
  return invoke(function, Argument<Arguments>(arguments)...);
}

} /* namespace detail */
#endif

/* A number that a fallible method gives besides its Status. */
class NumberOut {
 public:
  int64_t integer() const noexcept { return integer_; }
  double real() const noexcept { return real_; }
#ifndef SWIG
  void set(int64_t value) noexcept { integer_ = value; }
  double *out() noexcept { return &real_; }
#endif
 private:
  int64_t integer_ = 0;
  double real_ = 0;
};

/* A text that a fallible method gives besides its Status. */
class TextOut {
 public:
  const char *text() const noexcept { return handle_.get(); }
#ifndef SWIG
  char **out() noexcept { return handle_.out(); }
#endif
 private:
  detail::Handle<char, autoround_string_free> handle_;
};

} /* namespace autoround */
#endif
