// The element types of a GGUF file, and how each packs one block of integers that were tuned. docs/formats.md
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace autoround::exporter {

/// One block, unpacked.
struct GgufBlock {
  std::array<std::uint8_t, 256> codes{};  // as QuantizedWeight has them
  std::array<std::uint16_t, 4> scales{};  // all the same fp16 bits; MXFP4: the byte; NVFP4: a byte each sixteen values
  // Of integers: what groups of 16 or 32 values multiply the scale with, and the minimum, which is in fp16 bits. Where
  // one scale serves all they are 1, the scale, and the zero point.
  std::uint16_t minimum = 0;
  std::array<std::int8_t, 16> factors{}, minimum_factors{};
};

struct GgufType {
  std::string_view name;                                   // "Q4_0"
  std::uint32_t id;                                        // what tensors are marked with
  std::uint32_t file_type;                                 // general.file_type of files that mostly hold it
  std::int64_t values, bytes;                              // of a block
  void (*pack)(const GgufBlock& block, std::uint8_t* to);  // null where nothing is quantized
  void (*unpack)(const std::uint8_t* from, GgufBlock& block);
};

namespace gguf {
extern const GgufType f32, f16, bf16;
extern const GgufType q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, mxfp4, nvfp4;
}  // namespace gguf

}  // namespace autoround::exporter
