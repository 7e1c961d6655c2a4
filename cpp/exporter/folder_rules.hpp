// What readers of every folder format ask of a plan. Offenders are collected, so that an error can list them all.
#pragma once

#include <string>
#include <vector>

#include "exporter/exporter.hpp"
#include "exporter/folder_output.hpp"

namespace autoround::exporter {

using Offences = std::vector<std::string>;

std::string describe(const quant::WeightFormat& format);  // "int4 group 128 sym"
bool same_scheme(const quant::WeightFormat& a, const quant::WeightFormat& b);

/// What no format of integer weights has a place for: a quantized checkpoint, other numbers, activations, the KV cache,
/// a format of compressed-tensors other than `inner_format`.
Offences schemes_without_a_place(const ExportPlan& plan, const std::vector<QuantizedModule>& modules,
                                 const std::string& inner_format);
/// Columns that are not whole groups.
void check_group_sizes(const std::vector<QuantizedModule>& modules, Offences& offences);
/// Projections that readers run as one matrix and that differ in their scheme.
void check_fused(const ExportPlan& plan, Offences& offences);

}  // namespace autoround::exporter
