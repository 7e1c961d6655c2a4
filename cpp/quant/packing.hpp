// Codes as the dense little-endian bit streams that formats store. docs/formats.md
#pragma once

#include <ATen/core/Tensor.h>

namespace autoround::quant {

/// uint8 codes below 2^bits [rows, n] -> int32 [rows, ceil(n * bits / 32)]; value i of a row takes bits [i*bits, i*bits
/// + bits), least significant first; tail bits zero. bits 1..8.
at::Tensor pack_rows(const at::Tensor& codes, int bits);
at::Tensor unpack_rows(const at::Tensor& packed, int bits, std::int64_t columns);
/// The same along dimension 0: uint8 [n, columns] -> int32 [ceil(n * bits / 32), columns].
at::Tensor pack_columns(const at::Tensor& codes, int bits);
at::Tensor unpack_columns(const at::Tensor& packed, int bits, std::int64_t rows);

}  // namespace autoround::quant
