// Where a model's weights come from: a full-precision checkpoint here, a quantized folder in exporter/.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <gsl/span>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"

namespace autoround::model {

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// Where what is loaded goes.
  virtual at::Device device() const { return at::kCPU; }
  virtual bool has(const std::string& name) const = 0;
  /// A fresh tensor in `dtype` with the tensor's own shape.
  /// @throws Error not_found, io, unsupported (element type), parse (NaN or Inf, with the element)
  virtual at::Tensor load(const std::string& name, at::ScalarType dtype) const = 0;
  /// Loads straight into `out`, a whole tensor or rows of a larger one: contiguous, of the tensor's own shape.
  /// @throws Error as load; parse: the tensor has another shape.
  virtual void load_into(const std::string& name, at::Tensor out) const = 0;
  /// Rows `ids` of a 2-D tensor, read from the file without loading the rest. -> [ids.numel(), columns] in `dtype`
  /// In host memory, wherever the others go. Neighbouring ids are one read, so sorted ids are read fastest.
  /// @throws Error as load; invalid_argument: no such row
  virtual at::Tensor load_rows(const std::string& name, const at::Tensor& ids, at::ScalarType dtype) const = 0;
  using Load = std::function<void(const WeightSource&)>;
  /// A hint that `load` will be called with this source before long, for tensors whose names begin with `prefix`: they
  /// are read meanwhile, from files into the system's cache, and for a device into memory that it copies from. `load`
  /// is called once more for that, by a thread of the source's, with one whose tensors have shapes and nothing else.
  virtual void will_load(const std::string& prefix, const Load& load) const;

  /// Uninitialised memory that load_into can fill.
  at::Tensor memory(at::IntArrayRef shape, at::ScalarType dtype) const;
};

/// Full-precision weights of a checkpoint: F32, F16, BF16.
std::shared_ptr<WeightSource> checkpoint_weights(std::shared_ptr<const checkpoint::Checkpoint> checkpoint);

/// The same weights for another device, tensor by tensor through host memory: pinned, what it was told of in time.
std::shared_ptr<WeightSource> on_device(std::shared_ptr<WeightSource> weights, at::Device device);

/// @throws Error parse, with both shapes, when a tensor of the checkpoint has not the shape that config.json implies.
void require_shape(const std::string& name, const std::vector<std::int64_t>& found,
                   const std::vector<std::int64_t>& wanted);

/// The memory of a contiguous tensor, to be filled.
gsl::span<std::byte> bytes_of(const at::Tensor& contiguous);

/// Place of the first NaN or infinity among the elements of a contiguous fp32, fp16 or bf16 tensor.
std::optional<std::int64_t> first_nonfinite(const at::Tensor& values);

at::ScalarType torch_type(checkpoint::DType type);  // @throws unsupported
checkpoint::DType disk_type(at::ScalarType type);   // @throws unsupported

}  // namespace autoround::model
