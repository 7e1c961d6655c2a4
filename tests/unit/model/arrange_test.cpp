#include "model/arrange.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "support/catch.hpp"

namespace autoround::model {
namespace {

/// Columns 1 and 2 of the first input, then the second for each of three, then a column of zeros. [T, 6]
Places some(const std::vector<at::Tensor>& inputs, const at::Tensor& output) {
  return {{inputs[0].narrow(1, 1, 2), output.narrow(1, 0, 2)}, {inputs[1].expand({-1, 3}), output.narrow(1, 2, 3)}};
}

}  // namespace

TEST_CASE("arrange: views side by side, zeros elsewhere, and the same of gradients", "[model]") {
  const bool pooled = GENERATE(false, true);
  const auto pool = pooled ? c10::make_intrusive<BufferPool>() : c10::intrusive_ptr<BufferPool>();
  const at::AutoGradMode record(true);
  const at::Tensor a = at::arange(8, at::kFloat).view({2, 4}).requires_grad_(),
                   b = at::tensor({10.0f, 20.0f}).view({2, 1}).requires_grad_();
  const at::Tensor y = arrange({a, b}, {2, 6}, some, pool);
  CHECK(at::equal(
      y, at::tensor({1.0f, 2.0f, 10.0f, 10.0f, 10.0f, 0.0f, 5.0f, 6.0f, 20.0f, 20.0f, 20.0f, 0.0f}).view({2, 6})));
  const at::Tensor gradient = at::arange(12, at::kFloat).view({2, 6});
  const auto of = torch::autograd::grad({y}, {a, b}, {gradient.t().contiguous().t()});
  CHECK(at::equal(of[0], at::tensor({0.0f, 0.0f, 1.0f, 0.0f, 0.0f, 6.0f, 7.0f, 0.0f}).view({2, 4})));
  CHECK(at::equal(of[1], at::tensor({9.0f, 27.0f}).view({2, 1})));
  CHECK_FALSE(arrange({a.detach(), b.detach()}, {2, 6}, some, pool).requires_grad());
}

}  // namespace autoround::model
