// LibTorch's names for operations that bring a backward pass of their own.
#pragma once

#include <torch/csrc/autograd/custom_function.h>

namespace autoround::model {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::Variable;
using torch::autograd::variable_list;

}  // namespace autoround::model
