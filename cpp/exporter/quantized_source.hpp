// Reads back what the exporters write: a WeightSource that dequantizes a compressed-tensors folder tensor by tensor.
#pragma once

#include <memory>

#include "model/weight_source.hpp"

namespace autoround::exporter {

/// Weights of any folder this library can evaluate: full precision, or compressed-tensors pack-quantized.
/// @throws Error unsupported: another quantization method or format, naming it.
std::shared_ptr<model::WeightSource> open_weights(std::shared_ptr<const checkpoint::Checkpoint> checkpoint);

}  // namespace autoround::exporter
