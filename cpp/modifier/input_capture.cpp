#include "modifier/input_capture.hpp"

namespace autoround::modifier {

InputCapture::InputCapture(HookRegistry& hooks, const std::string& first, const std::string& last)
    : pre_(hooks.add(HookPoint::pre_forward, first, [this](const std::string&, const at::Tensor& x) { input_ = x; })),
      post_(
          hooks.add(HookPoint::post_forward, last, [this](const std::string&, const at::Tensor& y) { output_ = y; })) {}

void InputCapture::release() noexcept {
  input_.reset();
  output_.reset();
}

}  // namespace autoround::modifier
