#include "checkpoint/tensor_info.hpp"

#include <array>

namespace autoround::checkpoint {
namespace {

struct DTypeRow {
  DType type;
  int bits;
  std::string_view name;        // in a safetensors header
  std::string_view torch_name;  // in config.json; "" for what is no float type of torch
};

// One row for each type, in the order of the enumeration.
constexpr std::array<DTypeRow, 22> rows{{
    {DType::boolean, 8, "BOOL", ""},
    {DType::f4, 4, "F4", ""},
    {DType::f6_e2m3, 6, "F6_E2M3", ""},
    {DType::f6_e3m2, 6, "F6_E3M2", ""},
    {DType::u8, 8, "U8", ""},
    {DType::i8, 8, "I8", ""},
    {DType::f8_e5m2, 8, "F8_E5M2", "float8_e5m2"},
    {DType::f8_e4m3, 8, "F8_E4M3", "float8_e4m3fn"},
    {DType::f8_e8m0, 8, "F8_E8M0", "float8_e8m0fnu"},
    {DType::f8_e4m3fnuz, 8, "F8_E4M3FNUZ", "float8_e4m3fnuz"},
    {DType::f8_e5m2fnuz, 8, "F8_E5M2FNUZ", "float8_e5m2fnuz"},
    {DType::i16, 16, "I16", ""},
    {DType::u16, 16, "U16", ""},
    {DType::f16, 16, "F16", "float16"},
    {DType::bf16, 16, "BF16", "bfloat16"},
    {DType::i32, 32, "I32", ""},
    {DType::u32, 32, "U32", ""},
    {DType::f32, 32, "F32", "float32"},
    {DType::f64, 64, "F64", "float64"},
    {DType::i64, 64, "I64", ""},
    {DType::u64, 64, "U64", ""},
    {DType::c64, 64, "C64", ""},
}};

constexpr bool rows_follow_the_enumeration() {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].type != static_cast<DType>(i)) return false;
  }
  return rows.back().type == DType::c64;
}
static_assert(rows_follow_the_enumeration());

const DTypeRow& row_of(DType type) noexcept { return rows[static_cast<std::size_t>(type)]; }

}  // namespace

int bit_width(DType type) noexcept { return row_of(type).bits; }
std::string_view dtype_name(DType type) noexcept { return row_of(type).name; }
std::string_view torch_dtype_name(DType type) noexcept { return row_of(type).torch_name; }

std::optional<DType> parse_dtype(std::string_view name) noexcept {
  for (const DTypeRow& row : rows) {
    if (row.name == name) return row.type;
  }
  return std::nullopt;
}

std::optional<DType> parse_torch_dtype(std::string_view name) noexcept {
  constexpr std::string_view prefix = "torch.";
  if (name.substr(0, prefix.size()) == prefix) name.remove_prefix(prefix.size());
  if (name == "half") return DType::f16;
  if (name == "float") return DType::f32;
  if (name == "double") return DType::f64;
  for (const DTypeRow& row : rows) {
    if (!row.torch_name.empty() && row.torch_name == name) return row.type;
  }
  return std::nullopt;
}

std::int64_t TensorInfo::element_count() const noexcept {
  std::int64_t count = 1;
  for (const std::int64_t dimension : shape) count *= dimension;
  return count;
}

std::uint64_t TensorInfo::byte_size() const noexcept {
  // Elements first divided: eight times the element count of a legal tensor may not fit.
  const auto count = static_cast<std::uint64_t>(element_count());
  const auto bits = static_cast<std::uint64_t>(bit_width(dtype));
  return bits % 8 == 0 ? count * (bits / 8) : count / 8 * bits + count % 8 * bits / 8;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i != 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

}  // namespace autoround::checkpoint
