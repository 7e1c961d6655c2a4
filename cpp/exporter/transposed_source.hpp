// Reads folders whose weights are in the containers of GPTQ and AWQ: those of auto_round_layout.hpp, and what others
// write alike.
#pragma once

#include <memory>

#include "base/json.hpp"
#include "model/weight_source.hpp"

namespace autoround::exporter {

/// True for the quant_method of such a folder.
bool is_transposed(const std::string& quant_method);
/// @param config quantization_config
/// @throws Error unsupported: a variant that cannot be read. parse: tensors that do not fit the config, by name.
std::shared_ptr<model::WeightSource> open_transposed(std::shared_ptr<const checkpoint::Checkpoint> checkpoint,
                                                     const JsonView& config);

}  // namespace autoround::exporter
