// Where a model's weights come from: a full-precision checkpoint here, a quantized folder in exporter/.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "checkpoint/checkpoint.hpp"

namespace autoround::model {

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual bool has(const std::string& name) const = 0;
  /// A fresh tensor in `dtype` with the tensor's own shape. @throws Error not_found, io, parse (NaN or Inf, with the offset)
  virtual at::Tensor load(const std::string& name, at::ScalarType dtype) const = 0;
  /// Loads straight into `out`, rows of a larger tensor (contiguous, same element count).
  virtual void load_into(const std::string& name, at::Tensor out) const = 0;
  /// Rows `ids` of a 2-D tensor, read from the file without loading the rest. -> [ids.numel(), columns] in `dtype`
  virtual at::Tensor load_rows(const std::string& name, const at::Tensor& ids, at::ScalarType dtype) const = 0;
};

/// Full-precision weights of a checkpoint: F32, F16, BF16.
std::shared_ptr<WeightSource> checkpoint_weights(std::shared_ptr<const checkpoint::Checkpoint> checkpoint);

at::ScalarType torch_type(checkpoint::DType type);  // @throws unsupported
checkpoint::DType disk_type(at::ScalarType type);

}  // namespace autoround::model
