// What each translation unit of an instruction set hands to the dispatcher.
#pragma once

#include "model/kernels/kernels.hpp"

namespace autoround::model::kernels {

extern const RowKernels portable_rows_bf16, portable_rows_fp32;
extern const AttentionKernels portable_attention;
#if defined(__x86_64__)
extern const RowKernels avx2_rows_fp32, avx512_rows_fp32;
extern const RowKernels avx512_bf16_rows;
extern const AttentionKernels avx2_attention, avx512_attention, avx512_bf16_attention, amx_bf16_attention;
extern const ProductKernels avx512_bf16_products, amx_bf16_products;
#endif

}  // namespace autoround::model::kernels
