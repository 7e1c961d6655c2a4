// The three matrix products of a linear layer, y = x Wᵀ + b, dX = dY W and dW = dYᵀ X: by the packed kernels of
// model/kernels where the processor multiplies bf16, else by LibTorch. All matrices are [rows, columns] of one compute
// dtype; sums are fp32, rounded once.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace autoround::model {

/// Keeps the memory it packs operands into. Not thread-safe; runs on LibTorch's threads itself.
class LinearProducts {
 public:
  /// @param fused false: always by LibTorch, the reference
  explicit LinearProducts(bool fused);
  /// Whether this processor's bf16 products are those of packed kernels.
  static bool packs_bf16();

  /// Results go into given memory, contiguous and of the result's shape and dtype.
  void forward(at::Tensor& y, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
  void input_gradient(at::Tensor& gradient, const at::Tensor& output_gradient, const at::Tensor& weight);

  /// Rows [first, first + gradient.size(0)) of dW; the memory is used again after the call. Calls come from several
  /// threads at once, for rows of their own.
  using TakeRows = std::function<void(std::int64_t first, const at::Tensor& gradient)>;
  /// Hands dW out in blocks of rows while they are in a core's cache: dW as a whole exists only where LibTorch
  /// computes.
  void weight_gradient(const at::Tensor& output_gradient, const at::Tensor& x, const TakeRows& take);

 private:
  bool packs(const at::Tensor& a, const at::Tensor& b) const;
  std::byte* workspace(std::int64_t bytes);
  std::byte* thread_memory(std::int64_t bytes);
  std::int64_t most_packed() const;
  at::Tensor whole_gradient(std::int64_t outputs, std::int64_t inputs, const at::Tensor& like);

  bool fused_;
  at::Tensor workspace_;
};

}  // namespace autoround::model
