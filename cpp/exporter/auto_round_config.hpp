// `quantization_config` of auto-round's formats, of GPTQ and of AWQ: one scheme for most layers, and the layers that
// differ from it by name. docs/formats.md
#pragma once

#include <string>

#include "base/json.hpp"
#include "exporter/exporter.hpp"

namespace autoround::exporter {

/// quant_method auto-round. @param packing_format "auto_round:auto_gptq", "auto_round:auto_awq" or "auto_round"
Json auto_round_config(const ExportPlan& plan, const std::string& packing_format);
Json gptq_config(const ExportPlan& plan);
Json awq_config(const ExportPlan& plan);

}  // namespace autoround::exporter
