// Row functions for AVX2 with FMA, in fp32: without bf16 products nothing computes in bf16 there.
#include "model/kernels/avx2.hpp"
#include "model/kernels/row_kernels.hpp"
#include "model/kernels/tables.hpp"

namespace autoround::model::kernels {

const RowKernels avx2_rows_fp32 = row_kernels<Avx2, float>();

}  // namespace autoround::model::kernels
