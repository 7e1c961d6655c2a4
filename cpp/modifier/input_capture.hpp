// What the calibration data looked like on both sides of one decoder layer, caught by hooks while the full-precision
// stream runs through it: one pass gives the layer's inputs and the reference output.
#pragma once

#include <string>

#include "modifier/hooks.hpp"

namespace autoround::modifier {

class InputCapture {
 public:
  InputCapture(HookRegistry& hooks, const std::string& layer);

  const std::string& layer() const noexcept { return layer_; }
  const at::Tensor& input() const noexcept { return input_; }  // undefined until the layer ran
  const at::Tensor& output() const noexcept { return output_; }
  void release() noexcept;  // drops both tensors, keeps the hooks

 private:
  std::string layer_;
  at::Tensor input_, output_;
  HookRegistry::Handle pre_, post_;
};

}  // namespace autoround::modifier
