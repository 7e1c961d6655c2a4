// `quantization_config` as compressed-tensors writes it into config.json: config groups, the explicit list of modules
// that were left alone, and the format. docs/formats.md
#pragma once

#include "base/json.hpp"
#include "exporter/exporter.hpp"

namespace autoround::exporter {

/// Keys sorted, groups renamed group_0, group_1 ... by first appearance in module order, that of experts before others.
Json compressed_tensors_config(const ExportPlan& plan);

}  // namespace autoround::exporter
