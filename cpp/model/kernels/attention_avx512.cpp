// Blocked attention in fp32 for AVX-512.
#include "model/kernels/attention_kernels.hpp"
#include "model/kernels/avx512.hpp"
#include "model/kernels/fp32_arithmetic.hpp"
#include "model/kernels/tables.hpp"
#include "model/kernels/vector_multiply.hpp"

namespace autoround::model::kernels {

const AttentionKernels avx512_attention = attention_kernels<VectorMultiply<Fp32Arithmetic<Avx512>>>();

}  // namespace autoround::model::kernels
