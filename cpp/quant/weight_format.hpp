// How the weight of one linear layer is stored: the number format of its codes, the grouping of its scales.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "recipe/scheme.hpp"

namespace autoround::quant {

struct WeightFormat {
  int bits = 4;  // 2..8, integer codes
  bool symmetric = true;
  std::int64_t group = 128;               // columns that share a scale; 0 = one scale for the tensor, -1 = one a row
  at::ScalarType scale_type = at::kHalf;  // dtype in which the scale is stored, and therefore tuned

  std::int64_t columns_per_group(std::int64_t in_features) const;  // resolves -1, 0 and in_features < group
  std::int64_t groups_per_row(std::int64_t in_features) const;
  std::int64_t levels() const { return std::int64_t{1} << bits; }
  /// [out, groups_per_row], or [1] when one scale serves the tensor.
  std::vector<std::int64_t> scales_shape(std::int64_t out_features, std::int64_t in_features) const;
  /// Smallest magnitude that a scale is given: 1e-5 as scale_type holds it, 1e-8 for fp32 scales.
  float smallest_scale() const;
};

/// @throws Error unsupported: no integer weights, or a strategy that this build does not tune.
WeightFormat weight_format(const recipe::QuantizationArgs& args, at::ScalarType scale_type);

/// The integers that were tuned and nothing else: what exporters pack. Codes are unsigned, docs/formats.md.
struct QuantizedWeight {
  std::string name;  // module name
  WeightFormat format;
  at::Tensor codes;        // uint8 [out, in], 0 .. 2^bits - 1
  at::Tensor scales;       // format.scale_type [out, groups_per_row] ([1] for one scale a tensor); may be negative
  at::Tensor zero_points;  // uint8, shape of scales; undefined when symmetric (then it is 2^(bits-1) everywhere)
};

/// (code - zero) * scale in fp32, rounded to bf16 when that is how the scale is stored, then to `dtype`: what a loader
/// computes when `dtype` is the dtype of the scales, and what qdq_forward computes when it is that of the weight.
at::Tensor dequantize(const QuantizedWeight& weight, at::ScalarType dtype);

}  // namespace autoround::quant
