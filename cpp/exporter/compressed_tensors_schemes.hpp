// The other direction of compressed_tensors_config.hpp: which module of a folder is stored how.
#pragma once

#include <string>
#include <vector>

#include "base/json.hpp"
#include "exporter/stored_module.hpp"
#include "recipe/matching.hpp"

namespace autoround::exporter {

/// A config group as a reader sees it; `format` without the types of its scales.
struct SchemeGroup {
  std::vector<std::string> targets;
  quant::WeightFormat format;
  CompressionFormat compression = CompressionFormat::pack_quantized;
};

/// @param config `quantization_config`
/// @throws Error parse, unsupported: numbers, strategies or formats that cannot be read.
std::vector<SchemeGroup> read_groups(const JsonView& config);

/// The group that a module belongs to: exact name, then the patterns in alphabetical order, then the class. Null: none.
const SchemeGroup* find_group(const std::vector<SchemeGroup>& groups, const recipe::ModuleInfo& module);

}  // namespace autoround::exporter
