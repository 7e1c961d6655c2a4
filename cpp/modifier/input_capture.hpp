// What the calibration data looked like on both sides of one block, caught by hooks while the full-precision stream
// runs through its decoder layers: one pass gives the block's inputs and the reference output.
#pragma once

#include <string>

#include "modifier/hooks.hpp"

namespace autoround::modifier {

class InputCapture {
 public:
  /// @param first,last the block's outermost layers; one and the same when it has one
  InputCapture(HookRegistry& hooks, const std::string& first, const std::string& last);

  const at::Tensor& input() const noexcept { return input_; }  // undefined until the layers ran
  const at::Tensor& output() const noexcept { return output_; }
  void release() noexcept;  // drops both tensors, keeps the hooks

 private:
  at::Tensor input_, output_;
  HookRegistry::Handle pre_, post_;
};

}  // namespace autoround::modifier
