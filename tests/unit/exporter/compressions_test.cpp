// Each compression format of compressed-tensors: which scheme gets it, its tensors, config.json, and the way back.
#include <ATen/ATen.h>

#include <cstring>

#include "base/error.hpp"
#include "exporter/compressed_tensors_config.hpp"
#include "exporter/compressed_tensors_layout.hpp"
#include "exporter/fake_layout.hpp"
#include "exporter/folder_format.hpp"
#include "exporter/quantized_source.hpp"
#include "exporter/stored_module.hpp"
#include "folder_fixture.hpp"
#include "support/catch.hpp"

using autoround::Json;
using autoround::test::open;
using autoround::test::read_bytes;
using autoround::test::same_values;
using autoround::test::TinyModel;
namespace checkpoint = autoround::checkpoint;
namespace exporter = autoround::exporter;
namespace quant = autoround::quant;

namespace {

using checkpoint::DType;

struct Stored {
  std::string name;  // after the module's
  DType type;
  std::vector<std::int64_t> shape;
};

struct Case {
  std::string preset, format;
  std::vector<Stored> tensors;  // of q_proj, [64, 64]
};

const std::string kModule = "model.layers.0.self_attn.q_proj";

/// Integers beside quantized inputs are packed where that is asked for.
autoround::recipe::Recipe recipe_of(const Case& wanted) {
  autoround::recipe::Recipe recipe = TinyModel::preset(wanted.preset);
  if (wanted.format == "pack-quantized") recipe.scheme->format = wanted.format;
  return recipe;
}

std::vector<Case> cases() {
  const Stored i8{".weight", DType::i8, {64, 64}}, f8{".weight", DType::f8_e4m3, {64, 64}};
  const Stored fp4{".weight_packed", DType::u8, {64, 32}}, powers{".weight_scale", DType::u8, {64, 2}};
  const Stored rows{".weight_scale", DType::bf16, {64, 1}}, one{".weight_scale", DType::bf16, {1}};
  const Stored words{".weight_packed", DType::i32, {64, 8}}, shape{".weight_shape", DType::i64, {2}};
  const Stored groups{".weight_scale", DType::bf16, {64, 2}};
  const Stored e4m3{".weight_scale", DType::f8_e4m3, {64, 4}}, global{".weight_global_scale", DType::f32, {1}};
  return {
      {"W8A8", "int-quantized", {i8, rows}},
      {"W4A8", "int-quantized", {i8, groups}},
      {"W4A8", "pack-quantized", {words, groups, shape}},
      {"W4AFP8", "int-quantized", {i8, groups}},
      {"W4AFP8", "pack-quantized", {words, groups, shape}},
      {"FP8", "float-quantized", {f8, one, {".input_scale", DType::bf16, {1}}}},
      {"FP8_DYNAMIC", "float-quantized", {f8, rows}},
      {"FP8_BLOCK", "float-quantized", {f8, {".weight_scale", DType::bf16, {1, 1}}}},
      {"NVFP4A16", "nvfp4-pack-quantized", {fp4, e4m3, global}},
      {"NVFP4", "nvfp4-pack-quantized", {fp4, e4m3, global, {".input_global_scale", DType::f32, {1}}}},
      {"MXFP4A16", "mxfp4-pack-quantized", {fp4, powers}},
      {"MXFP4", "mxfp4-pack-quantized", {fp4, powers}},
      {"MXFP6A16", "mxfp6-pack-quantized", {{".weight_packed", DType::u8, {64, 48}}, powers}},
      {"MXFP8A16", "mxfp8-quantized", {f8, powers}},
      {"MXFP8", "mxfp8-quantized", {f8, powers}},
  };
}

std::shared_ptr<const checkpoint::Checkpoint> write(const TinyModel& model) {
  exporter::FolderFormat format(exporter::compressed_tensors_layout());
  model.run(format, model.output);
  return open(model.output);
}

}  // namespace

TEST_CASE("compressions: every preset's tensors, and the way back", "[exporter]") {
  for (const Case& wanted : cases()) {
    INFO(wanted.preset << ", " << wanted.format);
    TinyModel model;
    model.apply(recipe_of(wanted));
    const auto written = write(model);
    std::size_t found = 0;
    for (const auto& tensor : written->tensors()) found += tensor.name.rfind(kModule + ".", 0) == 0;
    CHECK(found == wanted.tensors.size() + 1);  // and its bias
    for (const Stored& stored : wanted.tensors) {
      INFO(stored.name);
      const auto* info = written->find(kModule + stored.name);
      REQUIRE(info != nullptr);
      CHECK(info->dtype == stored.type);
      CHECK(info->shape == stored.shape);
    }
    const Json config = exporter::compressed_tensors_config(model.plan());
    CHECK(config["format"] == wanted.format);
    CHECK(config["config_groups"]["group_0"]["format"] == wanted.format);

    const auto source = exporter::open_weights(written);
    const auto inputs = exporter::open_inputs(*written);
    for (const auto& [name, weight] : model.weights) {
      CHECK(at::equal(source->load(name + ".weight", at::kBFloat16), quant::dequantize(weight, at::kBFloat16)));
      REQUIRE(inputs.count(name) == weight.format.input.has_value());
      if (!weight.format.input) continue;
      CHECK(inputs.at(name).format() == *weight.format.input);
      CHECK(same_values(inputs.at(name).scales().scale, weight.input.scale));
      CHECK(same_values(inputs.at(name).scales().global_scale, weight.input.global_scale));
    }
  }
}

TEST_CASE("compressions: a resumed run finds the codes that it wrote", "[exporter]") {
  for (const Case& wanted : cases()) {
    INFO(wanted.preset << ", " << wanted.format);
    TinyModel model;
    model.apply(recipe_of(wanted));
    const auto plan = model.plan();
    exporter::FolderFormat format(exporter::compressed_tensors_layout());
    format.begin(plan, model.output);
    for (const auto& [name, weight] : model.weights) {
      format.write(weight);
      const quant::QuantizedWeight read = format.read(name);
      CHECK(at::equal(read.codes, weight.codes));
      CHECK(same_values(read.scales, weight.scales));
      CHECK(same_values(read.global_scale, weight.global_scale));
      CHECK(same_values(read.input.scale, weight.input.scale));
    }
  }
}

TEST_CASE("compressions: two FP4 codes share a byte, the even column's in the low half", "[exporter]") {
  for (const std::string preset : {"NVFP4A16", "MXFP4A16"}) {
    TinyModel model;
    model.apply(TinyModel::preset(preset));
    model.weights.at(kModule).codes = at::arange(64).remainder(16).to(at::kByte).expand({64, 64}).contiguous();
    const std::string bytes = read_bytes(*write(model), kModule + ".weight_packed");
    CHECK(std::memcmp(bytes.data(), "\x10\x32\x54\x76\x98\xba\xdc\xfe", 8) == 0);
  }
}

TEST_CASE("compressions: four FP6 codes share three bytes", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::preset("MXFP6A16"));
  model.weights.at(kModule).codes = at::tensor({1, 2, 3, 63}, at::kByte).repeat({64, 16}).contiguous();
  const std::string bytes = read_bytes(*write(model), kModule + ".weight_packed");
  CHECK(std::memcmp(bytes.data(), "\x81\x30\xfc", 3) == 0);  // 1 | 2 << 6 | 3 << 12 | 63 << 18
}

TEST_CASE("compressions: codes of integers beside quantized inputs are signed bytes", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::preset("W4A8"));
  model.weights.at(kModule).codes = at::arange(64).remainder(16).to(at::kByte).expand({64, 64}).contiguous();
  const std::string bytes = read_bytes(*write(model), kModule + ".weight");
  CHECK(static_cast<signed char>(bytes[0]) == -8);
  CHECK(static_cast<signed char>(bytes[15]) == 7);
}

TEST_CASE("compressions: config.json says how inputs are quantized", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::preset("NVFP4"));
  const Json group = exporter::compressed_tensors_config(model.plan())["config_groups"]["group_0"];
  CHECK(group["input_activations"].dump() ==
        R"({"dynamic":"local","group_size":16,"num_bits":4,"observer":"static_minmax",)"
        R"("scale_dtype":"torch.float8_e4m3fn","strategy":"tensor_group","symmetric":true,"type":"float"})");
  model.apply(TinyModel::preset("FP8_BLOCK"));
  const Json block = exporter::compressed_tensors_config(model.plan())["config_groups"]["group_0"]["weights"];
  CHECK(block["block_structure"] == Json({128, 128}));
  CHECK(block["strategy"] == "block");
}

TEST_CASE("compressions: groups in several formats are mixed-precision", "[exporter]") {
  TinyModel model;
  autoround::recipe::Recipe recipe = TinyModel::preset("NVFP4A16");
  recipe.layers = {{"re:.*o_proj", autoround::recipe::preset_scheme("FP8_DYNAMIC")}};
  model.apply(recipe);
  const auto written = write(model);
  const Json config = written->config().json().at("quantization_config");
  CHECK(config["format"] == "mixed-precision");
  CHECK(config["config_groups"]["group_0"]["format"] == "nvfp4-pack-quantized");
  CHECK(config["config_groups"]["group_1"]["format"] == "float-quantized");
  const auto source = exporter::open_weights(written);
  for (const auto& [name, weight] : model.weights)
    CHECK(at::equal(source->load(name + ".weight", at::kBFloat16), quant::dequantize(weight, at::kBFloat16)));
}

TEST_CASE("compressions: scales of the cache stand beside the attention module", "[exporter]") {
  for (const bool by_head : {false, true}) {
    TinyModel model;
    autoround::recipe::Recipe recipe = TinyModel::w4();
    recipe.kv_cache_scheme = autoround::recipe::preset_scheme("FP8").weights;
    if (by_head) recipe.kv_cache_scheme->strategy = autoround::recipe::Strategy::attn_head;
    model.apply(recipe);
    exporter::ExportPlan plan = model.plan();
    const std::string attention = "model.layers.1.self_attn";
    plan.caches[attention] = quant::cache_format(*recipe.kv_cache_scheme, 2, at::kBFloat16);
    exporter::FolderFormat format(exporter::compressed_tensors_layout());
    format.check(plan);
    format.begin(plan, model.output);
    for (const auto& [name, weight] : model.weights) format.write(weight);
    const quant::CacheRange range{at::tensor({224.f, 448.f}), at::tensor({44.8f, 0.f})};
    const auto written = format.write_cache(quant::cache_scales(plan.caches.at(attention), attention, range));
    REQUIRE(written.size() == 2);
    CHECK(format.damage(attention, written).empty());
    format.finish();
    const auto folder = open(model.output);
    const auto* info = folder->find(attention + ".k_scale");
    REQUIRE(info != nullptr);
    CHECK(info->dtype == DType::bf16);
    CHECK(info->shape == (by_head ? std::vector<std::int64_t>{2, 1, 1} : std::vector<std::int64_t>{1}));
    const std::string bytes = read_bytes(*folder, attention + ".k_scale");
    CHECK(std::memcmp(bytes.data(), by_head ? "\x00\x3f\x80\x3f" : "\x80\x3f", by_head ? 4 : 2) == 0);
    CHECK(folder->find(attention + ".v_scale") != nullptr);
    const Json config = folder->config().json().at("quantization_config").at("kv_cache_scheme");
    CHECK(config["num_bits"] == 8);
    CHECK(config["strategy"] == (by_head ? "attn_head" : "tensor"));
    CHECK(exporter::open_weights(folder)->has("model.layers.1.self_attn.q_proj.weight"));
  }
}

TEST_CASE("compressions: formats without a place for a scheme say so", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::preset("NVFP4A16"));
  CHECK_THROWS_AS(exporter::make_exporter("auto_round")->check(model.plan()), autoround::Error);
  CHECK_NOTHROW(exporter::fake_layout()->check(model.plan()));
  autoround::recipe::Recipe cached = TinyModel::w4();
  cached.kv_cache_scheme = autoround::recipe::preset_scheme("FP8").weights;
  model.apply(cached);
  for (const char* format : {"auto_round", "fake", "gguf"})
    CHECK_THROWS_AS(exporter::make_exporter(format)->check(model.plan()), autoround::Error);
  model.apply(TinyModel::preset("W8A8"));
  CHECK_THROWS_AS(exporter::make_exporter("auto_gptq")->check(model.plan()), autoround::Error);
  CHECK_THROWS_AS(exporter::fake_layout()->check(model.plan()), autoround::Error);
}
