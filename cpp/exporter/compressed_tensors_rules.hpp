// What compressed-tensors pack-quantized and its readers (transformers, vLLM) can hold.
#pragma once

#include "exporter/exporter.hpp"

namespace autoround::exporter {

/// @throws Error unsupported: the format has no place for something in the plan. invalid_argument: its readers would
/// refuse the result. Both list every offender.
void check_compressed_tensors(const ExportPlan& plan);

}  // namespace autoround::exporter
