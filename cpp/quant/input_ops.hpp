// A layer's operations with the inputs of some linears rounded as the program that runs the model will round them.
#pragma once

#include <map>
#include <string>

#include "model/forwarding_ops.hpp"
#include "quant/input_quantizer.hpp"

namespace autoround::quant {

using InputQuantizers = std::map<std::string, InputQuantizer>;  // by module name

class InputOps final : public model::ForwardingOps {
 public:
  /// Linears that share their input are rounded as the first of them.
  InputOps(const InputQuantizers& quantizers, model::Ops& inner) : ForwardingOps(inner), quantizers_(quantizers) {}

  at::Tensor linear(const model::Projection& projection, const at::Tensor& x) override {
    const auto found = quantizers_.find(projection.parts.front().name);
    if (found == quantizers_.end()) return inner().linear(projection, x);
    return inner().linear(projection, found->second(x.contiguous()));
  }

 private:
  const InputQuantizers& quantizers_;
};

}  // namespace autoround::quant
