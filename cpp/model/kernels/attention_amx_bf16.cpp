// Blocked attention in bf16 by tile registers.
#include "model/kernels/attention_kernels.hpp"
#include "model/kernels/tables.hpp"
#include "model/kernels/tile_multiply.hpp"

namespace autoround::model::kernels {

const AttentionKernels amx_bf16_attention = attention_kernels<TileMultiply>();

}  // namespace autoround::model::kernels
