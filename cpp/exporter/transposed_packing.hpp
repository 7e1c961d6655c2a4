// The containers of GPTQ and AWQ: weights as [in, out], with the zero points beside fp16 scales [groups, out].
// auto-round's formats are these two under other names. docs/formats.md
#pragma once

#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "quant/weight_format.hpp"

namespace autoround::exporter {

enum class Container {
  gptq,     // codes packed along the input features, zero points stored less one
  gptq_v2,  // the same with zero points as they are
  awq,      // 4 bits, packed along the output features in AWQ's order
};

/// qweight I32 [in * bits / 32, out] (awq: [in, out / 8]), qzeros I32 [G, out * bits / 32], scales F16 [G, out].
std::vector<checkpoint::TensorInfo> transposed_tensors(const std::string& module, std::int64_t out_features,
                                                       std::int64_t in_features, const quant::WeightFormat& format,
                                                       Container container);
/// The tensors of one weight in the order of transposed_tensors. Features are multiples of 32 and scales fp16.
std::vector<at::Tensor> pack_transposed(const quant::QuantizedWeight& weight, Container container);
/// @param stored in the order of transposed_tensors
quant::QuantizedWeight unpack_transposed(const std::string& module, const quant::WeightFormat& format,
                                         const std::vector<at::Tensor>& stored, Container container);

}  // namespace autoround::exporter
