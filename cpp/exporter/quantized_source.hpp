// Reads back what the exporters write: a WeightSource that dequantizes a folder tensor by tensor.
#pragma once

#include <memory>

#include "model/weight_source.hpp"
#include "quant/input_ops.hpp"

namespace autoround::exporter {

/// Weights of any folder this library can evaluate: full precision, compressed-tensors, or the containers of
/// auto-round, GPTQ and AWQ.
/// @throws Error unsupported: another quantization method or format, naming it.
std::shared_ptr<model::WeightSource> open_weights(std::shared_ptr<const checkpoint::Checkpoint> checkpoint);

/// How the folder's modules round their inputs; none in most folders. Where modules share an input, each has an entry.
/// @throws Error as open_weights
quant::InputQuantizers open_inputs(const checkpoint::Checkpoint& checkpoint);

}  // namespace autoround::exporter
