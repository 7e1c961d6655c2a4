// Row functions for AVX2 with FMA.
#include "model/kernels/avx2.hpp"
#include "model/kernels/row_kernels.hpp"
#include "model/kernels/tables.hpp"

namespace autoround::model::kernels {

const RowKernels avx2_rows_bf16 = row_kernels<Avx2, Bf16>();
const RowKernels avx2_rows_fp32 = row_kernels<Avx2, float>();

}  // namespace autoround::model::kernels
