#include "model/grouped_products.hpp"

#include <ATen/ops/_grouped_mm.h>

namespace autoround::model {
namespace {

constexpr std::int64_t aligned_elements = 8;  // of 16 bytes

}  // namespace

at::Tensor stack_of(const ExpertProjections& experts) {
  if (experts.empty()) return {};
  const at::Tensor& stack = experts.front()->stack;
  const bool fits = stack.defined() && stack.scalar_type() == at::kBFloat16 &&
                    stack.size(0) == static_cast<std::int64_t>(experts.size()) &&
                    stack.size(1) % aligned_elements == 0 && stack.size(2) % aligned_elements == 0;
  if (!fits) return {};
  const auto* slice = static_cast<const std::byte*>(stack.const_data_ptr());
  for (const Projection* expert : experts) {
    if (expert->bias.defined() || expert->weight.const_data_ptr() != slice) return {};
    slice += expert->weight.nbytes();
  }
  return stack;
}

at::Tensor grouped_forward(const at::Tensor& x, const at::Tensor& stack, const at::Tensor& ends) {
  return at::_grouped_mm(x, stack.transpose(1, 2), ends);
}

at::Tensor grouped_input_gradient(const at::Tensor& output_gradient, const at::Tensor& stack, const at::Tensor& ends) {
  return at::_grouped_mm(output_gradient, stack, ends);
}

at::Tensor grouped_weight_gradient(const at::Tensor& output_gradient, const at::Tensor& x, const at::Tensor& ends) {
  return at::_grouped_mm(output_gradient.t(), x, ends);
}

}  // namespace autoround::model
