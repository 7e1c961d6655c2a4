// Row functions for AVX-512 in fp32; what concerns bf16 is rows_avx512_bf16.cpp.
#include "model/kernels/avx512.hpp"
#include "model/kernels/row_kernels.hpp"
#include "model/kernels/tables.hpp"

namespace autoround::model::kernels {

const RowKernels avx512_rows_fp32 = row_kernels<Avx512, float>();

}  // namespace autoround::model::kernels
