// Blocked attention as the dispatcher takes it, for one way to multiply.
#pragma once

#include "model/kernels/attention_backward.hpp"
#include "model/kernels/attention_forward.hpp"

namespace autoround::model::kernels {
namespace {

template <class Multiply>
constexpr AttentionKernels attention_kernels() {
  return {&kForward<Multiply>, &kBackward<Multiply>, &kAddHeads<typename Multiply::Arithmetic>, head_floats};
}

}  // namespace
}  // namespace autoround::model::kernels
