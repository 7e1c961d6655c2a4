// What each translation unit of an instruction set hands to the dispatcher.
#pragma once

#include "model/kernels/kernels.hpp"

namespace autoround::model::kernels {

extern const RowKernels portable_bf16, portable_fp32;
#if defined(__x86_64__)
extern const RowKernels avx2_bf16, avx2_fp32;
extern const RowKernels avx512_bf16, avx512_fp32;
extern const AttentionKernels avx512_bf16_attention;
#endif

}  // namespace autoround::model::kernels
