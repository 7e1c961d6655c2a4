// The inner loops of quantize-dequantize, one row of a weight at a time, compiled once for each instruction set and
// picked at run time. No LibTorch here: these files are compiled for processors that the rest of the library may not
// assume.
//
// All instruction sets give the same bits: every operation is an IEEE one on its own element, and sums run in one order
// everywhere, that of at::sum over a contiguous dimension (32 lanes, four levels), so that gradients of the scales also
// equal those of LibTorch's autograd. Groups shorter than 8 columns are summed in another order than LibTorch's.
#pragma once

#include <cstdint>
#include <string_view>

#include "device/values.hpp"
#include "quant/number_format.hpp"

namespace autoround::quant {

/// What is closer to zero has no reciprocal in auto-round, which takes zero for it.
inline constexpr float kNextToNothing = 1e-30f;

using device::Element;
using device::ScaleType;

/// From the range of a group to its scale and zero point. docs/algorithm.md
struct ScaleRule {
  bool symmetric = true;
  ScaleType type = ScaleType::f16;
  float threshold = 0.f;  // smallest magnitude of a scale, a value of `type`
  float levels = 16.f;    // 2^bits
};

/// Ranges of n groups: min(groupmin, 0), max(groupmax, 0) and the factors in [0, 1] that tuning shrinks them by; or
/// scales that were searched, symmetric only, and max_scale in [0, 2] that tuning multiplies them with.
struct Ranges {
  std::int64_t count = 0;
  const float* searched = nullptr;  // null: the scale follows from the range
  const float* weight_min = nullptr;
  const float* weight_max = nullptr;
  float* min_scale = nullptr;
  float* max_scale = nullptr;
};

/// One row of a weight. Groups are `group` columns; the last one may be shorter and then counts as padded with zeros.
struct Row {
  Element element = Element::bf16;  // of weight, gradient and output
  std::int64_t columns = 0, group = 0;
  float levels = 16.f;
  const void* weight = nullptr;
  device::Values value;          // V
  const float* scale = nullptr;  // one a group
  const float* zero = nullptr;   // one a group; 2^(bits-1) when symmetric
  /// One a group, of super groups: W' = code * scale - minimum. Codes then come from a product with 1 / scale, as
  /// auto-round computes them, and not from a quotient. Null: none.
  const float* minimum = nullptr;
};

/// Per-group sums that the gradients of min_scale and max_scale are made of, with g = dW', s the scale, q the centred
/// code.
struct GradientSums {
  float* product = nullptr;   // sum of g q
  float* quotient = nullptr;  // sum of -(g s) ((w / s) / s) over the elements inside the clamp
  float* inside = nullptr;    // sum of g s inside the clamp; asymmetric only
  float* all = nullptr;       // sum of g s; asymmetric only
};

/// One row whose codes are floating-point numbers. Groups as in Row.
struct FloatRow {
  Element element = Element::bf16;  // of weight, gradient and output
  FloatGrid grid;
  std::int64_t columns = 0, group = 0;
  const void* weight = nullptr;
  device::Values value;            // V
  const float* divisor = nullptr;  // one a group: what weights are divided by, or with `multiplies` multiplied
  const float* scale = nullptr;    // one a group: what codes are multiplied with
  bool multiplies = false;
  bool follows_exponent = false;  // the gradient also goes through the exponent of the rounded value, as in MX formats
  bool stops_at_zero = false;     // no gradient where w / s + V is zero: auto-round's rounding multiplies with its sign
};

/// How groups of a weight whose codes are floating-point numbers get their scales: docs/algorithm.md.
struct FloatScaleRule {
  Number number = Number::fp8;
  FloatGrid grid;                   // of the number
  ScaleType type = ScaleType::f32;  // of FP8
  float threshold = 0.f;            // likewise: the smallest scale
  float global = 1.f;               // of NVFP4
};

/// One a group each; null: not wanted.
struct FloatScales {
  float *divisor = nullptr, *scale = nullptr;  // FloatRow's
  float* stored = nullptr;                     // in the dtype of stored scales, e8m0 as the power that it stands for
  std::uint8_t* free = nullptr;                // 0: a bound holds the scale, and no gradient passes
};

/// Smallest and largest value of each group of a row.
struct RowRange {
  Element element = Element::bf16;
  std::int64_t columns = 0, group = 0;
  const void* values = nullptr;
  float *smallest = nullptr, *largest = nullptr;  // one a group
};

/// How groups of inputs in an MX format or NVFP4 get their scales, as compressed-tensors computes them.
struct InputScaleRule {
  FloatGrid grid;
  bool powers = false;  // of two, of MX formats
  float global = 1.f;   // of NVFP4
};

/// One row of inputs that were rounded with one scale for all of them, and the gradient of what they were rounded to.
struct ClippedRow {
  Element element = Element::bf16;  // of all three
  std::int64_t columns = 0;
  const void *x = nullptr, *rounded = nullptr;
  void* gradient = nullptr;
  float scale = 1.f, lowest = 0.f, highest = 0.f;  // of codes
  bool whole = false;                              // codes are whole numbers
};

/// How a trial's factor says what codes are multiplied with, which is `scale`, and values before they are rounded.
enum class TrialKind {
  integers,  // values * (factor * unit), where unit is the reciprocal of the peak; scale is the reciprocal of that
  powers,    // values / factor; scale = factor, a power of two
  nvfp4,     // what follows from a magnitude of factor * unit below the tensor's scale, as float_scales has it
};

/// Scales that are tried on a group.
struct Trials {
  TrialKind kind = TrialKind::integers;
  std::int64_t count = 0;  // a multiple of kTrialsAtOnce
  const float* factors = nullptr;
  float unit = 1.f, global_scale = 1.f;
  float lowest = 0.f, highest = 0.f;  // codes of integers
  FloatGrid grid;                     // of floating-point numbers
};
inline constexpr std::int64_t kTrialsAtOnce = 16;  // the floats in the widest register

/// The values of one group, with what an error of each costs.
struct TrialGroup {
  const float* values = nullptr;
  const float* importance = nullptr;    // null: all alike
  std::int64_t count = 0, columns = 0;  // values there are, and with those that are padding
};

/// Looks for the scale and the minimum that keep groups closest to what they are.
struct GroupSearch {
  bool symmetric = true;      // no minimum
  bool absolute = false;      // errors count as they are, not squared
  float levels = 16.f;        // 2^bits
  std::int64_t columns = 32;  // of a group: 16 or 32
  std::int64_t count = 0;
  const float* factors = nullptr;  // asymmetric: steps that a range is cut into; symmetric: the code of the peak
};

struct Kernels {
  const char* name;
  /// Clamps the factors in place, then writes scale and zero point of each group.
  void (*scales)(const ScaleRule& rule, const Ranges& ranges, float* scale, float* zero);
  /// W' of a row. `round_to_bf16` rounds an f32 output to bf16 values.
  void (*forward)(const Row& row, void* output, bool round_to_bf16);
  void (*encode)(const Row& row, std::uint8_t* codes);
  /// V -= rate * sign(dV), in place; null codes are not written, sums.product == nullptr computes no sums, sums.all ==
  /// nullptr two; with row.minimum none are.
  void (*update)(const Row& row, const void* gradient, float rate, std::uint8_t* codes, const GradientSums& sums);
  /// min_scale and max_scale -= rate * sign(gradient). `scale` as `scales` wrote it.
  void (*step)(const ScaleRule& rule, const Ranges& ranges, const float* scale, const GradientSums& sums, float rate);

  /// Of `count` groups from their largest magnitudes.
  void (*float_scales)(const FloatScaleRule& rule, const float* magnitude, std::int64_t count,
                       const FloatScales& scales);
  void (*float_forward)(const FloatRow& row, void* output, bool round_to_bf16);
  void (*float_encode)(const FloatRow& row, std::uint8_t* codes);
  /// As `update`. `of_scale` gets one sum a group, whose sign is that of the gradient of the scale; null computes none.
  void (*float_update)(const FloatRow& row, const void* gradient, float rate, std::uint8_t* codes, float* of_scale);
  void (*range)(const RowRange& row);
  /// Of `count` ranges, as `range` wrote them.
  void (*input_scales)(const InputScaleRule& rule, const RowRange& ranges, std::int64_t count, float* scale);

  /// Zeroes the gradient where x / scale lies outside the codes. Returns that of the largest magnitude that codes
  /// reach, up to a positive factor: the row's sum of gradient * (rounded - x), without x where it lies outside.
  float (*clip_gradient)(const ClippedRow& row);

  /// Of each trial the sum of importance * (code * scale - value)^2 over the group.
  void (*trial_errors)(const Trials& trials, const TrialGroup& group, float* errors);

  /// Of each group the scale and the minimum, which is zero when symmetric. `cost` is what an error of each value
  /// costs.
  void (*search_groups)(const GroupSearch& search, const float* values, const float* cost, std::int64_t groups,
                        float* scale, float* minimum);
};

/// The fastest that this processor runs. The environment variable ATEN_CPU_CAPABILITY (avx2, default) limits it, as it
/// limits LibTorch; it is read once.
const Kernels& kernels();
/// The named one, "portable", "avx2" or "avx512"; null when this build lacks it or the processor cannot run it.
const Kernels* find_kernels(std::string_view name);

}  // namespace autoround::quant
