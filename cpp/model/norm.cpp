#include "model/norm.hpp"

#include <ATen/ATen.h>

#include "model/elementwise.hpp"

namespace autoround::model {

Norm Norm::load(const DecoderSpec& spec, const std::string& module, at::IntArrayRef shape, const WeightSource& weights,
                at::ScalarType dtype) {
  Norm norm;
  if (module.empty()) return norm;
  norm.exists_ = true;
  norm.kind_ = spec.norm.kind;
  norm.eps_ = spec.norm_eps;
  const auto load = [&](const char* suffix) {
    at::Tensor tensor = weights.memory(shape, spec.norm.wide ? at::kFloat : dtype);
    weights.load_into(module + suffix, tensor);
    return tensor;
  };
  if (spec.norm.weight) norm.weight_ = load(".weight");
  if (spec.norm.bias) norm.bias_ = load(".bias");
  if (spec.norm.unit_offset) norm.weight_.add_(1.0);  // in fp32, as the sum is there too: bf16 would lose bits of w
  return norm;
}

at::Tensor Norm::operator()(const at::Tensor& x, Ops& ops) const {
  if (!exists_) return x;
  return kind_ == NormKind::rms ? ops.rms_norm(x, weight_, eps_) : ops.layer_norm(x, weight_, bias_, eps_);
}

std::pair<at::Tensor, at::Tensor> Norm::of_sum(const at::Tensor& x, const at::Tensor& delta, Ops& ops) const {
  if (exists_ && kind_ == NormKind::rms) return ops.add_rms_norm(x, delta, weight_, eps_);
  const at::Tensor sum = sum_with(delta, x);
  return {sum, (*this)(sum, ops)};
}

}  // namespace autoround::model
