// Blocked attention by vectors.
#include "model/kernels/attention_backward.hpp"
#include "model/kernels/attention_forward.hpp"
#include "model/kernels/tables.hpp"
#include "model/kernels/vector_multiply.hpp"

namespace autoround::model::kernels {

const AttentionKernels avx512_bf16_attention{&kForward<VectorMultiply>, &kBackward<VectorMultiply>, &kAddHeads,
                                             head_floats};

}  // namespace autoround::model::kernels
