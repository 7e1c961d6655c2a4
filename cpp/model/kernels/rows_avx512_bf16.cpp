// Row functions for AVX-512 with the conversion to bf16 in hardware; what concerns fp32 is rows_avx512.cpp.
#include "model/kernels/avx512_bf16.hpp"
#include "model/kernels/row_kernels.hpp"
#include "model/kernels/tables.hpp"

namespace autoround::model::kernels {

const RowKernels avx512_bf16_rows = row_kernels<Avx512Bf16, Bf16>();

}  // namespace autoround::model::kernels
