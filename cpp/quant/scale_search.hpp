// Looks for the scale of each group that keeps its weights closest to what they are, where an error costs as much as
// the channel that it meets is strong. Where tuning starts with SignRoundV2, and all there is to optimised rounding.
// Source: auto-round 0.15.1 data_type/int.py search_scales, mxfp.py search_mx_scale, nvfp.py search_nvfp4_scale.
#pragma once

#include <ATen/core/Tensor.h>

#include "quant/kernels.hpp"
#include "quant/rounding.hpp"

namespace autoround::quant {

/// Symmetric integers, MX formats, NVFP4, and whatever has super groups.
bool can_search_scales(const WeightFormat& format);

/// Sets state.searched_scale; of super groups state.super, as search_super_scales() does. Of integers some 200 inverse
/// scales around that of the largest magnitude are tried, of MX formats half and twice that magnitude, of NVFP4 its
/// 0.50 to 1.51 fold; the first of the best is kept, and what rounding to nearest takes comes first. In fp32, whatever
/// type scales are stored in. After share_global_scale.
/// @param importance fp32 [in], what a squared error in a column costs; undefined: all alike
/// @throws Error unsupported: not a format of can_search_scales
void search_scales(RoundingState& state, const at::Tensor& importance, const Kernels& kernels = kernels());

}  // namespace autoround::quant
