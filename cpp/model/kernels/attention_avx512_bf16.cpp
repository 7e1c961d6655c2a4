// Blocked attention in bf16 by vectors.
#include "model/kernels/attention_kernels.hpp"
#include "model/kernels/bf16_arithmetic.hpp"
#include "model/kernels/tables.hpp"
#include "model/kernels/vector_multiply.hpp"

namespace autoround::model::kernels {

const AttentionKernels avx512_bf16_attention = attention_kernels<VectorMultiply<Bf16Arithmetic>>();

}  // namespace autoround::model::kernels
