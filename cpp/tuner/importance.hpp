// How much an error in a weight costs: the strength of the input channel that it meets, measured on the full-precision
// stream before a block is quantized. What searched scales are weighed with.
// Source: auto-round 0.15.1 sign_roundv2/quantizer.py and rtn/quantizer.py, "imatrix".
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "quant/weight_format.hpp"

namespace autoround {
class CancelToken;
}

namespace autoround::tuner {

class Block;
struct BlockData;
struct TuneOptions;

/// By linear, fp32 [in]: the sum of x^2 over all real tokens. A channel that no token reached counts as the mean of the
/// others: that it was not seen does not make it free to spoil.
using Importance = std::map<std::string, at::Tensor>;

/// Whether options ask for searched scales of this linear; those of super groups always are. Rounding without
/// iterations leaves integers of 8 bits and routed experts alone, as auto-round does: there is little to gain, and much
/// to do.
bool searches_scales(const std::string& linear, const quant::WeightFormat& format, const TuneOptions& options);

/// Whether the largest differences are left out of the loss of a block with this linear: with searched scales and few
/// bits they are so large that they would drown the rest. They are found pass by pass: smaller passes find others.
bool drops_outliers(const std::string& linear, const quant::WeightFormat& format, const TuneOptions& options);

/// Runs the block, which still has its original weights, over `data.input`, which is the full-precision stream. Empty
/// when no scale of the block is searched. Linears whose weights and inputs have 4-bit integers are left out when they
/// are tuned, as auto-round leaves them out: all their channels count alike.
Importance measure_importance(const Block& block, const BlockData& data,
                              const std::map<std::string, quant::WeightFormat>& formats, const TuneOptions& options,
                              const CancelToken& cancel);

}  // namespace autoround::tuner
