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
  std::int64_t super_group = 0;      // groups whose scales are integers in units of one scale; 0: scales are their own
  int super_bits = 0;                // of those integers
  std::optional<InputFormat> input;  // unset: the input is not quantized
  float least_scale = 1e-5f;         // ScaleFormat::least

  std::int64_t columns_per_group(std::int64_t in_features) const;  // resolves -1, 0 and in_features < group
  std::int64_t groups_per_row(std::int64_t in_features) const;
  std::int64_t levels() const { return std::int64_t{1} << bits; }
  bool has_super_groups() const { return super_group > 0; }
  /// [out, groups_per_row], [1] when one scale serves the tensor, [rows of blocks, groups_per_row] of blocks, [out,
  /// super groups of a row].
  std::vector<std::int64_t> scales_shape(std::int64_t out_features, std::int64_t in_features) const;
  /// Smallest magnitude that a scale is given: of integers least_scale as scale_type holds it and 1e-8 in fp32, of FP8
  /// 1 / (448 * 512).
  float smallest_scale() const;
};

/// How an output stores scales that are floats.
struct ScaleFormat {
  ScaleFormat(at::ScalarType type_in, float least_in = 1e-5f) : type(type_in), least(least_in) {}
  at::ScalarType type;
  float least;  // magnitude of integers' scales in 16 bits; auto-round's, of GGUF what fp16 holds
};

/// @param scales of formats that store floats as scales; MX formats and NVFP4 have types of their own
/// @throws Error unsupported: numbers or a strategy that this build does not tune.
WeightFormat weight_format(const recipe::QuantizationArgs& args, ScaleFormat scales);
/// The same with the scheme's input. @throws Error unsupported
WeightFormat weight_format(const recipe::QuantizationScheme& scheme, ScaleFormat scales);

/// What a weight in super groups has beside the scales of those: a group's scale is scale_factors * scales, its minimum
/// minimum_factors * minima, and a weight is code * scale - minimum. The K types of GGUF. docs/formats.md
struct SuperParts {
  at::Tensor scale_factors;    // int8 [out, groups_per_row]
  at::Tensor minima;           // fp16, shape of scales; undefined when symmetric
  at::Tensor minimum_factors;  // int8 [out, groups_per_row]; undefined when symmetric
};

/// The codes that were tuned and nothing else: what exporters pack. docs/formats.md
struct QuantizedWeight {
  std::string name;  // module name
  WeightFormat format;
  at::Tensor codes;        // uint8 [out, in]: unsigned integers, or the bits of floating-point numbers
  at::Tensor scales;       // format.scale_type [format.scales_shape]; of integers may be negative; uint8 means e8m0
  at::Tensor zero_points;  // uint8, shape of scales; undefined when symmetric (then it is 2^(bits-1) everywhere) and in
                           // super groups, which have minima
  at::Tensor global_scale = {};  // of NVFP4, fp32 [1]: what stored scales are divided by
  InputScales input = {};        // what format.input needs at run time
  SuperParts super = {};         // of super groups
};

/// The same in host memory.
QuantizedWeight to_host(QuantizedWeight weight);

/// Whether loaders compute (code - zero) * scale in bf16, so that W' has such values even when it is held in fp32.
bool computes_bf16(const WeightFormat& format);
/// (code - zero) * scale in fp32, rounded to bf16 when loaders do, then to `dtype`: what a loader computes when `dtype`
/// is the dtype of the scales, and what qdq_forward computes when it is that of the weight.
at::Tensor dequantize(const QuantizedWeight& weight, at::ScalarType dtype);
/// The same into a matrix that is there, some rows at a time.
void dequantize_into(const QuantizedWeight& weight, at::Tensor out);

}  // namespace autoround::quant
