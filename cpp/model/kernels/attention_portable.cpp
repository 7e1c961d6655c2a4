// Blocked attention in fp32 for any CPU.
#include "model/kernels/attention_kernels.hpp"
#include "model/kernels/fp32_arithmetic.hpp"
#include "model/kernels/portable.hpp"
#include "model/kernels/tables.hpp"
#include "model/kernels/vector_multiply.hpp"

namespace autoround::model::kernels {

const AttentionKernels portable_attention = attention_kernels<VectorMultiply<Fp32Arithmetic<Portable>>>();

}  // namespace autoround::model::kernels
