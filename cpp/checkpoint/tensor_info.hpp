// What a tensor on disk is: name, element type, shape. The spelling of types is that of safetensors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace autoround::checkpoint {

enum class DType {
  boolean,
  f4,
  f6_e2m3,
  f6_e3m2,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  f64,
  i64,
  u64,
  c64,
};

int bit_width(DType type) noexcept;
std::string_view dtype_name(DType type) noexcept;                  // "BF16"
std::optional<DType> parse_dtype(std::string_view name) noexcept;  // exact spelling
/// Hugging Face spelling: "bfloat16", "torch.float16"; nullopt when it is not a float type we know.
std::optional<DType> parse_torch_dtype(std::string_view name) noexcept;
std::string_view torch_dtype_name(DType type) noexcept;  // "bfloat16"; "" when torch has no such float type

struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;

  std::int64_t element_count() const noexcept;  // shapes from files were checked for overflow when they were read
  std::uint64_t byte_size() const noexcept;
};

std::string shape_text(const std::vector<std::int64_t>& shape);  // "[576, 1536]"

}  // namespace autoround::checkpoint
