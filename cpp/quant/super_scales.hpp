// Scales, and minima of asymmetric integers, of weights in super groups: what the K types of GGUF hold. Searched for
// each group, then rounded to integers in units of one fp16 number a super group.
// Source: auto-round 0.15.1 data_type/gguf.py search_gguf_scale_min_asym, export_to_gguf/packing.py
// make_qx_quants_chunk; what these adapt is llama.cpp's make_qkx3_quants, make_qx_quants and make_qp_quants.
#pragma once

#include <ATen/core/Tensor.h>

#include "quant/kernels.hpp"
#include "quant/weight_format.hpp"

namespace autoround::quant {

struct SuperScales {
  at::Tensor scales;  // fp16 [out, super groups of a row], as QuantizedWeight has them
  SuperParts parts;
  at::Tensor scale, minimum;  // fp32 [out, groups_per_row]: the products; minima of symmetric integers are zero
};

/// Computed in host memory, wherever the weight is and the result goes.
/// @param weight bf16 or fp32 [out, in], in a multiple of the columns of a super group
/// @param importance fp32 [in], what a squared error in a column costs; undefined: large weights cost more
/// @throws Error unsupported: columns that super groups do not divide; numeric: fp16 cannot hold a scale or minimum.
SuperScales search_super_scales(const WeightFormat& format, const at::Tensor& weight, const at::Tensor& importance,
                                const Kernels& kernels);

}  // namespace autoround::quant
