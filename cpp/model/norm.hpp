// A norm with its weights; one that the family does not have is the identity.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>

#include "model/ops.hpp"
#include "model/spec.hpp"
#include "model/weight_source.hpp"

namespace autoround::model {

class Norm {
 public:
  Norm() = default;
  /// Loads the weights of `module`, of `shape`; without a module's name, the identity.
  /// @throws Error as WeightSource::load_into
  static Norm load(const DecoderSpec& spec, const std::string& module, at::IntArrayRef shape,
                   const WeightSource& weights, at::ScalarType dtype);

  explicit operator bool() const noexcept { return exists_; }
  /// Over the last dimension.
  at::Tensor operator()(const at::Tensor& x, Ops& ops) const;
  /// {x + delta, the norm of it}. The sum may take the place of delta, which is nobody else's.
  std::pair<at::Tensor, at::Tensor> of_sum(const at::Tensor& x, const at::Tensor& delta, Ops& ops) const;

  const at::Tensor& weight() const noexcept { return weight_; }
  double eps() const noexcept { return eps_; }

 private:
  bool exists_ = false;
  NormKind kind_ = NormKind::rms;
  double eps_ = 0.0;
  at::Tensor weight_, bias_;
};

}  // namespace autoround::model
