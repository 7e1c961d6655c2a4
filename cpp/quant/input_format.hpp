// How the input of a linear layer is quantized while the model runs. Tuning computes with inputs rounded like that.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "quant/number_format.hpp"
#include "recipe/scheme.hpp"

namespace autoround::quant {

struct InputFormat {
  Number number = Number::integer;
  int bits = 8;
  bool symmetric = true;
  std::int64_t group = -1;  // columns of a token that share a scale; -1 = one a token, 0 = one for all tokens
  bool is_static = false;   // one scale, found while calibrating; group is 0
  at::ScalarType scale_type = at::kFloat;  // dtype in which a static scale is stored

  bool needs_scale() const { return is_static; }
  /// NVFP4: scales of groups are found at run time, below a scale found while calibrating.
  bool needs_global_scale() const { return number == Number::nvfp4; }
  bool needs_calibration() const { return needs_scale() || needs_global_scale(); }

  bool operator==(const InputFormat&) const = default;
};

/// Found while calibrating; undefined where the format needs none.
struct InputScales {
  at::Tensor scale;         // format.scale_type [1]
  at::Tensor global_scale;  // fp32 [1], a divisor, as that of weights
};

/// @throws Error unsupported: numbers or a strategy that this build does not compute.
InputFormat input_format(const recipe::QuantizationArgs& args, at::ScalarType scale_type);

}  // namespace autoround::quant
