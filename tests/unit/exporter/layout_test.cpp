// The words on disk. Vectors: docs/formats.md, measured with compressed-tensors.
#include <ATen/ATen.h>

#include <cstring>

#include "base/error.hpp"
#include "exporter/compressed_tensors_layout.hpp"
#include "exporter/folder_format.hpp"
#include "folder_fixture.hpp"
#include "support/catch.hpp"

using autoround::test::integer_scheme;
using autoround::test::open;
using autoround::test::read_bytes;
using autoround::test::TinyModel;
namespace exporter = autoround::exporter;
namespace quant = autoround::quant;

namespace {

template <typename T>
std::vector<T> values(const autoround::checkpoint::Checkpoint& checkpoint, const std::string& name) {
  const auto bytes = read_bytes(checkpoint, name);
  std::vector<T> result(bytes.size() / sizeof(T));
  std::memcpy(result.data(), bytes.data(), bytes.size());
  return result;
}

// q_proj of layer 0 is [64, 64]; each row holds the same codes 0, 1, 2 ... modulo the number of levels.
std::shared_ptr<const autoround::checkpoint::Checkpoint> write_counting(TinyModel& model, int bits, bool symmetric,
                                                                        std::int64_t group) {
  autoround::recipe::Recipe recipe;
  recipe.config_groups = {{"g", integer_scheme({"Linear"}, bits, symmetric, group)}};
  model.apply(recipe);
  auto& weight = model.weights.at("model.layers.0.self_attn.q_proj");
  const at::Tensor counting = at::arange(64).remainder(weight.format.levels()).to(at::kByte);
  weight.codes = counting.expand({64, 64}).contiguous();
  if (!symmetric) {
    const at::Tensor rows = counting.slice(0, 0, weight.scales.size(0));
    weight.zero_points = (group == 0 ? rows : rows.unsqueeze(1)).expand_as(weight.scales).contiguous();
  }
  exporter::FolderFormat format(exporter::compressed_tensors_layout());
  model.run(format, model.output);
  return open(model.output);
}

const std::string kProjection = "model.layers.0.self_attn.q_proj.weight";

}  // namespace

TEST_CASE("layout: rows are dense little-endian bit streams", "[exporter]") {
  struct Golden {
    int bits;
    std::vector<std::uint32_t> words;
  };
  const auto golden = GENERATE(
      Golden{2, {0xe4e4e4e4}}, Golden{3, {0x88fac688, 0xc688fac6, 0xfac688fa}}, Golden{4, {0x76543210, 0xfedcba98}},
      Golden{5, {0x8a418820, 0xc5a92839, 0xca307b9a, 0x38bdab49, 0xffbbcdeb}}, Golden{8, {0x03020100, 0x07060504}});
  TinyModel model;
  const auto written = write_counting(model, golden.bits, true, 32);
  const auto words = values<std::uint32_t>(*written, kProjection + "_packed");
  REQUIRE(words.size() == 64u * 2u * static_cast<unsigned>(golden.bits));
  for (std::size_t i = 0; i < golden.words.size(); ++i) CHECK(words[i] == golden.words[i]);
  const std::size_t last_row = 63u * 2u * static_cast<unsigned>(golden.bits);
  CHECK(words[last_row] == golden.words[0]);
  CHECK(values<std::int64_t>(*written, kProjection + "_shape") == std::vector<std::int64_t>{64, 64});
  CHECK(written->find(kProjection + "_zero_point") == nullptr);
  CHECK(written->find(kProjection) == nullptr);
}

TEST_CASE("layout: zero points are packed along the rows", "[exporter]") {
  TinyModel model;
  const auto written = write_counting(model, 4, false, 32);
  const auto* info = written->find(kProjection + "_zero_point");
  REQUIRE(info != nullptr);
  CHECK(info->shape == std::vector<std::int64_t>{8, 2});
  const auto words = values<std::uint32_t>(*written, kProjection + "_zero_point");
  // Column-major streams of 0, 1, 2 ...: word 0 of both columns, then word 1 of both.
  CHECK(words[0] == 0x76543210);
  CHECK(words[1] == 0x76543210);
  CHECK(words[2] == 0xfedcba98);
}

TEST_CASE("layout: one zero point for the tensor is a signed byte", "[exporter]") {
  TinyModel model;
  const auto written = write_counting(model, 4, false, 0);
  CHECK(values<std::int8_t>(*written, kProjection + "_zero_point") == std::vector<std::int8_t>{-8});
  CHECK(written->find(kProjection + "_scale")->shape == std::vector<std::int64_t>{1});
}

TEST_CASE("layout: scales are stored in the type that was tuned", "[exporter]") {
  TinyModel model;
  const auto written = write_counting(model, 4, true, -1);
  const auto* info = written->find(kProjection + "_scale");
  CHECK(info->dtype == autoround::checkpoint::DType::bf16);
  CHECK(info->shape == std::vector<std::int64_t>{64, 1});
  const at::Tensor& scales = model.weights.at("model.layers.0.self_attn.q_proj").scales;
  const auto bytes = read_bytes(*written, kProjection + "_scale");
  REQUIRE(bytes.size() == scales.nbytes());
  CHECK(std::memcmp(bytes.data(), scales.const_data_ptr(), bytes.size()) == 0);
}

TEST_CASE("layout: a scale that would spoil the model is refused", "[exporter]") {
  const float bad = GENERATE(0.0f, -0.0f, NAN, INFINITY);
  TinyModel model;
  model.apply(TinyModel::w4());
  const auto plan = model.plan();
  exporter::FolderFormat format(exporter::compressed_tensors_layout());
  format.begin(plan, model.output);
  quant::QuantizedWeight weight = model.weights.at("model.layers.1.mlp.up_proj");
  weight.scales = weight.scales.clone();
  weight.scales[5][1] = bad;
  try {
    format.write(weight);
    FAIL("the scale was accepted");
  } catch (const autoround::Error& error) {
    CHECK(error.code() == autoround::Code::numeric);
    CHECK(error.subject() == "model.layers.1.mlp.up_proj");
    CHECK(std::string(error.what()).find("[5, 1]") != std::string::npos);
  }
}

TEST_CASE("layout: a weight that was not announced is refused", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4());
  const auto plan = model.plan();
  exporter::FolderFormat format(exporter::compressed_tensors_layout());
  format.begin(plan, model.output);
  quant::QuantizedWeight weight = model.weights.at("model.layers.0.mlp.up_proj");
  weight.name = "lm_head";
  CHECK_THROWS_AS(format.write(weight), autoround::Error);
  weight = model.weights.at("model.layers.0.mlp.up_proj");
  weight.scales = weight.scales.to(at::kHalf);
  CHECK_THROWS_AS(format.write(weight), autoround::Error);
}
