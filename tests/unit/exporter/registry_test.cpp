#include "base/error.hpp"
#include "exporter/exporter.hpp"
#include "support/catch.hpp"

namespace exporter = autoround::exporter;
using autoround::checkpoint::DType;

TEST_CASE("registry: every listed format can be made", "[exporter]") {
  REQUIRE_FALSE(exporter::format_names().empty());
  CHECK(exporter::format_names().front() == "compressed-tensors");
  for (const auto& name : exporter::format_names()) CHECK(exporter::make_exporter(name) != nullptr);
}

TEST_CASE("registry: an unknown format names those that exist", "[exporter]") {
  try {
    exporter::make_exporter("compressed-tensor");
    FAIL("the format was accepted");
  } catch (const autoround::Error& error) {
    CHECK(error.code() == autoround::Code::unsupported);
    CHECK(error.subject() == "compressed-tensor");
    CHECK(std::string(error.what()).find("`compressed-tensors`") != std::string::npos);
  }
}

TEST_CASE("registry: scales are stored in the checkpoint's type unless the recipe says otherwise", "[exporter]") {
  const std::string format = "compressed-tensors";
  CHECK(exporter::scale_type(format, DType::bf16, "") == at::kBFloat16);
  CHECK(exporter::scale_type(format, DType::f16, "") == at::kHalf);
  CHECK(exporter::scale_type(format, DType::f32, "") == at::kFloat);
  CHECK(exporter::scale_type(format, DType::bf16, "float16") == at::kHalf);
  CHECK(exporter::scale_type(format, DType::f16, "bfloat16") == at::kBFloat16);
  CHECK(exporter::scale_type(format, DType::bf16, "float32") == at::kFloat);
  CHECK_THROWS_AS(exporter::scale_type(format, DType::bf16, "float64"), autoround::Error);
  CHECK_THROWS_AS(exporter::scale_type(format, DType::bf16, "int8"), autoround::Error);
  CHECK(exporter::least_scale(format) == 1e-5f);
  CHECK(exporter::least_scale("gguf") == 0x1p-24f);  // the least of fp16
  CHECK_THROWS_AS(exporter::scale_type("gguff", DType::bf16, ""), autoround::Error);
}
