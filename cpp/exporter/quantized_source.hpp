// Reads back what the exporters write: a WeightSource that dequantizes a folder tensor by tensor.
#pragma once

#include <memory>

#include "model/weight_source.hpp"

namespace autoround::exporter {

/// Weights of any folder this library can evaluate: full precision, compressed-tensors pack-quantized, or the
/// containers of auto-round, GPTQ and AWQ.
/// @throws Error unsupported: another quantization method or format, naming it.
std::shared_ptr<model::WeightSource> open_weights(std::shared_ptr<const checkpoint::Checkpoint> checkpoint);

}  // namespace autoround::exporter
