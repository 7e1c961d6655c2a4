#include "handles.hpp"

#include <array>
#include <cstring>

namespace autoround::capi {

const char* kind_name(Kind kind) noexcept {
  constexpr std::array<const char*, kind_count> names = {"error", "context",     "cancel",  "recipe",
                                                         "model", "calibration", "options", "session",
                                                         "event", "tensor",      "result",  "layer"};
  return names[static_cast<std::size_t>(kind)];
}

std::atomic<std::size_t>& live(Kind kind) noexcept {
  static std::array<std::atomic<std::size_t>, kind_count> counters{};
  return counters[static_cast<std::size_t>(kind)];
}

void refuse(const void* pointer, const char* parameter) {
  fail(Code::invalid_argument, parameter,
       std::string(parameter) + (pointer ? " is not a live handle of its type" : " is NULL"));
}

std::string text(const char* value, const char* parameter) {
  if (!value) refuse(value, parameter);
  return value;
}

std::string text(const char* value, std::size_t length, const char* parameter) {
  if (!value) refuse(value, parameter);
  return std::string(value, length);
}

char* owned_string(const std::string& value) {
  char* copy = new char[value.size() + 1];
  std::memcpy(copy, value.c_str(), value.size() + 1);
  return copy;
}

autoround_tensor* new_tensor(const at::Tensor& tensor) {
  auto handle = std::make_unique<autoround_tensor>();
  handle->impl = tensor.contiguous();
  return handle.release();
}

}  // namespace autoround::capi
