// The header of one safetensors file, read strictly: everything that the reference implementation refuses is refused,
// and also duplicate keys, unknown members and absurd counts. Nothing here reads tensor data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.hpp"
#include "checkpoint/tensor_info.hpp"

namespace autoround::checkpoint {

struct StoredTensor {
  TensorInfo info;
  std::uint64_t begin = 0;  // offset of the first byte in the file
};

/// The tensors of `file` in the order of their data, which covers the file exactly: no gap, overlap or trailing byte.
/// @throws Error parse: any violation, with the tensor's name. unsupported: an unknown dtype. io: a read error.
std::vector<StoredTensor> read_safetensors_header(const InputFile& file);

/// The same for a header text in memory: `data_begin` is where the data starts in the file, `data_bytes` its length.
std::vector<StoredTensor> parse_safetensors_header(std::string_view header, std::uint64_t data_begin,
                                                   std::uint64_t data_bytes, const std::string& subject);

/// Hash of the header's text: which tensors the file holds and where. @throws as read_safetensors_header
std::string header_hash(const InputFile& file);

}  // namespace autoround::checkpoint
