// Row functions for AVX-512 without bf16 instructions.
#include "model/kernels/avx512.hpp"
#include "model/kernels/row_kernels.hpp"
#include "model/kernels/tables.hpp"

namespace autoround::model::kernels {

const RowKernels avx512_rows_bf16 = row_kernels<Avx512, Bf16>();
const RowKernels avx512_rows_fp32 = row_kernels<Avx512, float>();

}  // namespace autoround::model::kernels
