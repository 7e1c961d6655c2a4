// How one linear layer is quantized: the number format of its weight's codes, the grouping of its scales, and what
// becomes of its input when the model runs.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "quant/input_format.hpp"
#include "quant/number_format.hpp"
#include "recipe/scheme.hpp"

namespace autoround::quant {

struct WeightFormat {
  int bits = 4;  // 2..8 of integers; 4, 6 or 8 of floating-point numbers
  bool symmetric = true;
  std::int64_t group = 128;               // columns that share a scale; 0 = one scale for the tensor, -1 = one a row
  at::ScalarType scale_type = at::kHalf;  // dtype in which the scale is stored, and therefore tuned
  Number number = Number::integer;
  std::int64_t block_rows = 0;       // rows that share a scale with strategy block; else 0
  std::optional<InputFormat> input;  // unset: the input is not quantized

  std::int64_t columns_per_group(std::int64_t in_features) const;  // resolves -1, 0 and in_features < group
  std::int64_t groups_per_row(std::int64_t in_features) const;
  std::int64_t levels() const { return std::int64_t{1} << bits; }
  /// [out, groups_per_row], [1] when one scale serves the tensor, [rows of blocks, groups_per_row] of blocks.
  std::vector<std::int64_t> scales_shape(std::int64_t out_features, std::int64_t in_features) const;
  /// Smallest magnitude that a scale is given: of integers 1e-5 as scale_type holds it and 1e-8 in fp32, of FP8
  /// 1 / (448 * 512).
  float smallest_scale() const;
};

/// @param scale_type of formats that store floats as scales; MX formats and NVFP4 have types of their own
/// @throws Error unsupported: numbers or a strategy that this build does not tune.
WeightFormat weight_format(const recipe::QuantizationArgs& args, at::ScalarType scale_type);
/// The same with the scheme's input. @throws Error unsupported
WeightFormat weight_format(const recipe::QuantizationScheme& scheme, at::ScalarType scale_type);

/// The codes that were tuned and nothing else: what exporters pack. docs/formats.md
struct QuantizedWeight {
  std::string name;  // module name
  WeightFormat format;
  at::Tensor codes;        // uint8 [out, in]: unsigned integers, or the bits of floating-point numbers
  at::Tensor scales;       // format.scale_type [format.scales_shape]; of integers may be negative; uint8 means e8m0
  at::Tensor zero_points;  // uint8, shape of scales; undefined when symmetric (then it is 2^(bits-1) everywhere)
  at::Tensor global_scale = {};  // of NVFP4, fp32 [1]: what stored scales are divided by
  InputScales input = {};        // what format.input needs at run time
};

/// Whether loaders compute (code - zero) * scale in bf16, so that W' has such values even when it is held in fp32.
bool computes_bf16(const WeightFormat& format);
/// (code - zero) * scale in fp32, rounded to bf16 when loaders do, then to `dtype`: what a loader computes when `dtype`
/// is the dtype of the scales, and what qdq_forward computes when it is that of the weight.
at::Tensor dequantize(const QuantizedWeight& weight, at::ScalarType dtype);

}  // namespace autoround::quant
