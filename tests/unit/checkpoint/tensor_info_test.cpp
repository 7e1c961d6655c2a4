#include "checkpoint/tensor_info.hpp"

#include "support/catch.hpp"

namespace autoround::checkpoint {
namespace {

TEST_CASE("dtypes: names and widths are those of the safetensors specification", "[checkpoint]") {
  struct Row {
    const char* name;
    int bits;
    const char* torch_name;
  };
  const Row rows[] = {
      {"BOOL", 8, ""},
      {"F4", 4, ""},
      {"F6_E2M3", 6, ""},
      {"F6_E3M2", 6, ""},
      {"U8", 8, ""},
      {"I8", 8, ""},
      {"F8_E5M2", 8, "float8_e5m2"},
      {"F8_E4M3", 8, "float8_e4m3fn"},
      {"F8_E8M0", 8, "float8_e8m0fnu"},
      {"F8_E4M3FNUZ", 8, "float8_e4m3fnuz"},
      {"F8_E5M2FNUZ", 8, "float8_e5m2fnuz"},
      {"I16", 16, ""},
      {"U16", 16, ""},
      {"F16", 16, "float16"},
      {"BF16", 16, "bfloat16"},
      {"I32", 32, ""},
      {"U32", 32, ""},
      {"F32", 32, "float32"},
      {"F64", 64, "float64"},
      {"I64", 64, ""},
      {"U64", 64, ""},
      {"C64", 64, ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    const auto type = parse_dtype(row.name);
    REQUIRE(type.has_value());
    CHECK(dtype_name(*type) == row.name);
    CHECK(bit_width(*type) == row.bits);
    CHECK(torch_dtype_name(*type) == row.torch_name);
    if (*row.torch_name != '\0') CHECK(parse_torch_dtype(row.torch_name) == type);
  }
  for (const char* name : {"", "bf16", "BF16 ", "F8_E4M3FN", "Q4_0"}) CHECK_FALSE(parse_dtype(name).has_value());
}

TEST_CASE("dtypes: the spellings of torch", "[checkpoint]") {
  CHECK(parse_torch_dtype("torch.bfloat16") == DType::bf16);
  CHECK(parse_torch_dtype("half") == DType::f16);
  CHECK(parse_torch_dtype("float") == DType::f32);
  CHECK(parse_torch_dtype("torch.double") == DType::f64);
  for (const char* name : {"", "torch.", "auto", "int8", "BF16", "Bfloat16", "torch.torch.half"}) {
    CAPTURE(name);
    CHECK_FALSE(parse_torch_dtype(name).has_value());
  }
}

TEST_CASE("tensor info: sizes", "[checkpoint]") {
  CHECK(TensorInfo{"t", DType::bf16, {3, 5}}.byte_size() == 30);
  CHECK(TensorInfo{"t", DType::f32, {}}.byte_size() == 4);
  CHECK(TensorInfo{"t", DType::f32, {7, 0, 9}}.byte_size() == 0);
  CHECK(TensorInfo{"t", DType::f4, {3, 6}}.byte_size() == 9);
  CHECK(TensorInfo{"t", DType::f6_e2m3, {4}}.byte_size() == 3);
  CHECK(TensorInfo{"t", DType::u8, {std::int64_t{1} << 40, 1 << 22}}.byte_size() == std::uint64_t{1} << 62);
  CHECK(TensorInfo{"t", DType::u8, {2, 3, 4}}.element_count() == 24);
  CHECK(shape_text({}) == "[]");
  CHECK(shape_text({576, 1536}) == "[576, 1536]");
}

}  // namespace
}  // namespace autoround::checkpoint
