// The bounds that untrusted checkpoints are held to, so that a hostile file costs neither memory nor time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace autoround::checkpoint {

inline constexpr std::size_t max_config_bytes = std::size_t{16} << 20;
inline constexpr std::size_t max_index_bytes = std::size_t{64} << 20;
inline constexpr std::uint64_t max_header_bytes = 100'000'000;  // as in the reference implementation of safetensors
inline constexpr std::size_t max_tensors = 1'000'000;           // of a file, and of a whole checkpoint
inline constexpr std::size_t max_shards = 10'000;
inline constexpr std::size_t max_name_bytes = 1024;
inline constexpr std::size_t max_rank = 8;
inline constexpr std::int64_t max_experts = 1 << 16;  // of a layer
inline constexpr std::uint64_t max_dimension = std::uint64_t{1} << 40;

}  // namespace autoround::checkpoint
