// Which element type of GGUF holds a weight as it was tuned, and the weight packed into its blocks. docs/formats.md
#pragma once

#include <string>

#include "checkpoint/tensor_info.hpp"
#include "exporter/gguf_blocks.hpp"
#include "quant/weight_format.hpp"

namespace autoround::exporter {

/// Of what is not quantized: F32, F16, BF16; null: there is none.
const GgufType* gguf_float_type(checkpoint::DType type);
/// The type that holds rows of `columns` weights of this format; null: there is none.
const GgufType* gguf_type_of(const quant::WeightFormat& format, std::int64_t columns);
/// What gguf_type_of finds a type for, for people.
std::string gguf_schemes();

/// -> uint8 [out, bytes of a row]. @throws Error numeric: a minimum does not fit into fp16.
at::Tensor pack_blocks(const quant::QuantizedWeight& weight, const GgufType& type);
/// The weight of which pack_blocks made `packed`, without the scale that NVFP4 has for the tensor as a whole.
quant::QuantizedWeight unpack_blocks(const std::string& module, const quant::WeightFormat& format, const GgufType& type,
                                     const at::Tensor& packed);

}  // namespace autoround::exporter
