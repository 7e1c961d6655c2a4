// What readers of every folder format ask of a plan. Offenders are collected, so that an error can list them all.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "exporter/exporter.hpp"
#include "exporter/folder_output.hpp"

namespace autoround::exporter {

using Offences = std::vector<std::string>;

std::string describe(const quant::WeightFormat& format);  // "int4 group 128 sym", "mxfp4 group 32"
bool same_scheme(const quant::WeightFormat& a, const quant::WeightFormat& b);

/// What a format has a place for, beyond integer weights.
struct Place {
  bool floats = false;  // floating-point weights
  bool inputs = false;  // quantized inputs
  bool cache = false;   // a quantized KV cache
  bool supers = false;  // integers in super groups
  bool stacks = false;  // experts that the checkpoint holds as one tensor
  /// The format of compressed-tensors that a module gets when its group asks for one; null: a group may ask for none.
  std::string_view (*inner_format)(const quant::WeightFormat&, std::string_view asked) = nullptr;
};
/// What there is no place for: a quantized checkpoint, the KV cache, and numbers, inputs, experts or inner
/// formats that `place` does not name.
Offences schemes_without_a_place(const ExportPlan& plan, const std::vector<QuantizedModule>& modules,
                                 const Place& place);
/// Columns that are not whole groups, of weights or of inputs.
void check_group_sizes(const std::vector<QuantizedModule>& modules, Offences& offences);
/// Projections that readers run as one matrix and that differ in their scheme.
void check_fused(const ExportPlan& plan, Offences& offences);
/// Whether experts of one layer have another scheme than those of another, or none.
bool experts_differ(const ExportPlan& plan);

}  // namespace autoround::exporter
