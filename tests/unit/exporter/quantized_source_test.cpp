#include "exporter/quantized_source.hpp"

#include <ATen/ATen.h>

#include <functional>

#include "base/error.hpp"
#include "base/file.hpp"
#include "exporter/compressed_tensors_layout.hpp"
#include "exporter/folder_format.hpp"
#include "folder_fixture.hpp"
#include "support/catch.hpp"

using autoround::Code;
using autoround::Json;
using autoround::test::integer_scheme;
using autoround::test::open;
using autoround::test::random_weight;
using autoround::test::Tensors;
using autoround::test::TinyModel;
using autoround::test::write_tensors;
namespace exporter = autoround::exporter;
namespace quant = autoround::quant;
namespace recipe = autoround::recipe;

namespace {

// One scheme of each kind in one model; gate, up and q, k, v agree as readers want it.
recipe::Recipe many_schemes() {
  recipe::Recipe recipe;
  recipe.config_groups = {
      {"a", integer_scheme({"re:model.layers.0.self_attn.[qkv]_proj"}, 2, true, 32)},
      {"b", integer_scheme({"re:model.layers.0.mlp.(gate|up)_proj"}, 3, false, 16)},
      {"c", integer_scheme({"model.layers.0.mlp.down_proj"}, 4, true, -1)},
      {"d", integer_scheme({"model.layers.0.self_attn.o_proj"}, 5, false, -1)},
      {"e", integer_scheme({"re:model.layers.1.self_attn.[qkv]_proj"}, 6, false, 0)},
      {"f", integer_scheme({"re:model.layers.1.mlp.(gate|up)_proj"}, 7, true, 0)},
      {"g", integer_scheme({"model.layers.1.mlp.down_proj"}, 8, false, 32)},
      {"h", integer_scheme({"Linear"}, 4, false, 32)},
      {"i", integer_scheme({"Embedding"}, 8, true, 32)},
  };
  return recipe;
}

using Change = std::function<void(std::map<std::string, at::Tensor>&, Json&)>;

// A packed folder of the smallest kind, spoiled by `change`, read back.
void open_changed(const Change& change) {
  TinyModel model;
  recipe::Recipe recipe;
  recipe.config_groups = {{"g", integer_scheme({"model.layers.0.mlp.up_proj"}, 4, false, 32)}};
  model.apply(recipe);
  model.formats.at("model.layers.0.mlp.up_proj").scale_type = at::kBFloat16;
  exporter::FolderFormat format(exporter::compressed_tensors_layout());
  // Written apart from its neighbour gate_proj: only the reader's own rules count here.
  const auto plan = model.plan();
  format.begin(plan, model.output);
  for (const auto& [name, weight] : model.weights) format.write(weight);
  format.finish();

  const std::string module = "model.layers.0.mlp.up_proj.weight";
  const auto& weight = model.weights.at("model.layers.0.mlp.up_proj");
  std::map<std::string, at::Tensor> tensors = {
      {module + "_packed", at::zeros({96, 8}, at::kInt)},
      {module + "_scale", weight.scales},
      {module + "_shape", at::tensor({96, 64}, at::kLong)},
      {module + "_zero_point", at::zeros({12, 2}, at::kInt)},
  };
  Json config = autoround::parse_json(
      autoround::read_text_file(autoround::join_path(model.output, "config.json"), 1 << 20), "config.json");
  change(tensors, config);
  const std::string changed = model.folder.make("changed");
  write_tensors(changed, Tensors(tensors.begin(), tensors.end()));
  autoround::write_text_file(autoround::join_path(changed, "config.json"), config.dump());
  exporter::open_weights(open(changed));
}

Json& scheme(Json& config) { return config["quantization_config"]["config_groups"]["group_0"]; }

void check_refused(Code code, const std::string& part, const Change& change) {
  try {
    open_changed(change);
    FAIL("the folder was accepted");
  } catch (const autoround::Error& error) {
    const std::string text = error.subject() + ": " + error.what();
    INFO(text);
    CHECK(error.code() == code);
    CHECK(text.find(part) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("quantized source: gives back what was written, bit for bit", "[exporter]") {
  TinyModel model;
  model.apply(many_schemes());
  exporter::FolderFormat format(exporter::compressed_tensors_layout(), 20'000);
  model.run(format, model.output);
  const auto source = exporter::open_weights(open(model.output));
  REQUIRE(model.weights.size() == 16);
  for (const auto& [name, weight] : model.weights) {
    INFO(name);
    const std::string tensor = name + ".weight";
    const at::Tensor expected = quant::dequantize(weight, at::kBFloat16);
    REQUIRE(source->has(tensor));
    CHECK(at::equal(source->load(tensor, at::kBFloat16), expected));
    CHECK(at::equal(source->load(tensor, at::kFloat), expected.to(at::kFloat)));
    at::Tensor larger = at::zeros({expected.size(0) + 3, expected.size(1)}, at::kFloat);
    source->load_into(tensor, larger.slice(0, 2, 2 + expected.size(0)));
    CHECK(at::equal(larger.slice(0, 2, 2 + expected.size(0)), expected.to(at::kFloat)));
    CHECK(larger[0].abs().sum().item<float>() == 0.0f);
    const at::Tensor ids = at::tensor({7, 0, 31, 7}, at::kLong);
    CHECK(at::equal(source->load_rows(tensor, ids, at::kBFloat16), expected.index_select(0, ids)));
  }
}

TEST_CASE("quantized source: the tensors that were left alone", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4());
  exporter::FolderFormat format(exporter::compressed_tensors_layout());
  model.run(format, model.output);
  const auto plain = exporter::open_weights(model.checkpoint), packed = exporter::open_weights(open(model.output));
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight", "model.layers.0.self_attn.q_proj.bias"}) {
    CHECK(at::equal(plain->load(name, at::kFloat), packed->load(name, at::kFloat)));
  }
  const at::Tensor ids = at::tensor({3, 39}, at::kLong);
  CHECK(at::equal(plain->load_rows("model.embed_tokens.weight", ids, at::kFloat),
                  packed->load_rows("model.embed_tokens.weight", ids, at::kFloat)));
  CHECK_FALSE(packed->has("model.layers.9.mlp.up_proj.weight"));
}

TEST_CASE("quantized source: scales wider than the weights are used as stored", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4());
  for (auto& [name, format] : model.formats) format.scale_type = at::kFloat;
  for (auto& [name, weight] : model.weights) {
    weight = random_weight(name, weight.codes.size(0), weight.codes.size(1), model.formats.at(name));
  }
  exporter::FolderFormat format(exporter::compressed_tensors_layout());
  model.run(format, model.output);
  const auto source = exporter::open_weights(open(model.output));
  const auto& weight = model.weights.at("model.layers.1.self_attn.k_proj");
  CHECK(at::equal(source->load("model.layers.1.self_attn.k_proj.weight", at::kFloat),
                  quant::dequantize(weight, at::kFloat)));
}

TEST_CASE("quantized source: rows outside the tensor", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4({}));
  exporter::FolderFormat format(exporter::compressed_tensors_layout());
  model.run(format, model.output);
  const auto source = exporter::open_weights(open(model.output));
  CHECK_THROWS_AS(source->load_rows("lm_head.weight", at::tensor({40}, at::kLong), at::kFloat), autoround::Error);
  CHECK_THROWS_AS(source->load_rows("lm_head.weight", at::tensor({-1}, at::kLong), at::kFloat), autoround::Error);
}

TEST_CASE("quantized source: the folder that the next case spoils is sound", "[exporter]") {
  CHECK_NOTHROW(open_changed([](auto&, Json&) {}));
}

TEST_CASE("quantized source: tensors that do not fit together", "[exporter]") {
  const std::string weight = "model.layers.0.mlp.up_proj.weight";
  const auto replace = [&](const std::string& suffix, at::Tensor tensor) {
    return [=](std::map<std::string, at::Tensor>& tensors, Json&) { tensors[weight + suffix] = tensor; };
  };
  const auto erase = [&](const std::string& suffix) {
    return [=](std::map<std::string, at::Tensor>& tensors, Json&) { tensors.erase(weight + suffix); };
  };
  for (const char* suffix : {"_scale", "_shape", "_zero_point"}) {
    check_refused(Code::parse, weight + suffix + ": the tensor is missing", erase(suffix));
  }
  check_refused(Code::parse, "I32 [96, 7], wanted I32 [96, 8]", replace("_packed", at::zeros({96, 7}, at::kInt)));
  check_refused(Code::parse, "I64 [96, 8], wanted I32 [96, 8]", replace("_packed", at::zeros({96, 8}, at::kLong)));
  check_refused(Code::parse, "BF16 [96, 1], wanted BF16 [96, 2]", replace("_scale", at::ones({96, 1}, at::kBFloat16)));
  check_refused(Code::parse, "I32 [96, 2], wanted I32 [12, 2]", replace("_zero_point", at::zeros({96, 2}, at::kInt)));
  check_refused(Code::parse, "a dimension is -64", replace("_shape", at::tensor({96, -64}, at::kLong)));
  check_refused(Code::parse, "a dimension is", replace("_shape", at::full({2}, std::int64_t{1} << 60, at::kLong)));
  check_refused(Code::parse, "72 columns are not a multiple", replace("_shape", at::tensor({96, 72}, at::kLong)));
  check_refused(Code::parse, "I64 [3], wanted I64 [2]", replace("_shape", at::tensor({96, 64, 1}, at::kLong)));
  check_refused(Code::parse, "stored twice", replace("", at::zeros({96, 64})));
  check_refused(Code::unsupported, "activation ordering", replace("_g_idx", at::zeros({64}, at::kInt)));
}

TEST_CASE("quantized source: configurations that it cannot honour", "[exporter]") {
  using T = std::map<std::string, at::Tensor>&;
  check_refused(Code::unsupported, "`bitsandbytes`",
                [](T, Json& c) { c["quantization_config"]["quant_method"] = "bitsandbytes"; });
  check_refused(Code::unsupported, "`marlin-24`", [](T, Json& c) { scheme(c)["format"] = "marlin-24"; });
  check_refused(Code::parse, "up_proj.weight: the tensor is missing",
                [](T, Json& c) { scheme(c)["format"] = "int-quantized"; });
  check_refused(Code::parse, "cannot hold", [](T, Json& c) { scheme(c)["format"] = "mxfp4-pack-quantized"; });
  check_refused(Code::unsupported, "Floating-point weights",
                [](T, Json& c) { scheme(c)["weights"]["type"] = "float"; });
  check_refused(Code::unsupported, "`complex`", [](T, Json& c) { scheme(c)["weights"]["type"] = "complex"; });
  check_refused(Code::parse, "num_bits", [](T, Json& c) { scheme(c)["input_activations"] = Json::object(); });
  check_refused(Code::unsupported, "outputs", [](T, Json& c) { scheme(c)["output_activations"] = Json::object(); });
  check_refused(Code::parse, "block_structure", [](T, Json& c) { scheme(c)["weights"]["strategy"] = "block"; });
  check_refused(Code::unsupported, "strategy block", [](T, Json& c) {
    scheme(c)["weights"]["strategy"] = "block";
    scheme(c)["weights"]["block_structure"] = {128, 128};
  });
  check_refused(Code::parse, "block_structure", [](T, Json& c) {
    scheme(c)["weights"]["strategy"] = "block";
    scheme(c)["weights"]["block_structure"] = {128, 0};
  });
  check_refused(Code::parse, "num_bits", [](T, Json& c) { scheme(c)["weights"]["num_bits"] = 9; });
  check_refused(Code::parse, "num_bits", [](T, Json& c) { scheme(c)["weights"]["num_bits"] = "four"; });
  check_refused(Code::parse, "positive group_size", [](T, Json& c) { scheme(c)["weights"]["group_size"] = nullptr; });
  check_refused(Code::parse, "`weights`", [](T, Json& c) { scheme(c)["weights"] = nullptr; });
  check_refused(Code::parse, "`targets`", [](T, Json& c) { scheme(c)["targets"] = "Linear"; });
  check_refused(Code::parse, "no group", [](T, Json& c) { scheme(c)["targets"] = Json({"lm_head"}); });
  check_refused(Code::parse, "symmetric", [](T, Json& c) { scheme(c)["weights"]["symmetric"] = true; });
  check_refused(Code::parse, "config_groups",
                [](T, Json& c) { c["quantization_config"]["config_groups"] = Json::object(); });
}

TEST_CASE("quantized source: the format may be said once for all groups", "[exporter]") {
  using T = std::map<std::string, at::Tensor>&;
  CHECK_NOTHROW(open_changed([](T, Json& c) { scheme(c).erase("format"); }));
  check_refused(Code::unsupported, "``", [](T, Json& c) {
    scheme(c).erase("format");
    c["quantization_config"].erase("format");
  });
}
