// Row functions for any CPU.
#include "model/kernels/portable.hpp"
#include "model/kernels/row_kernels.hpp"
#include "model/kernels/tables.hpp"

namespace autoround::model::kernels {

const RowKernels portable_rows_bf16 = row_kernels<Portable, Bf16>();
const RowKernels portable_rows_fp32 = row_kernels<Portable, float>();

}  // namespace autoround::model::kernels
