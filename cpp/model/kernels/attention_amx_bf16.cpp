// Blocked attention by tile registers.
#include "model/kernels/attention_backward.hpp"
#include "model/kernels/attention_forward.hpp"
#include "model/kernels/tables.hpp"
#include "model/kernels/tile_multiply.hpp"

namespace autoround::model::kernels {

const AttentionKernels amx_bf16_attention{&kForward<TileMultiply>, &kBackward<TileMultiply>, &kAddHeads, head_floats};

}  // namespace autoround::model::kernels
