#include "base/error.hpp"
#include "base/file.hpp"
#include "exporter/auto_round_layout.hpp"
#include "exporter/compressed_tensors_layout.hpp"
#include "exporter/fake_layout.hpp"
#include "exporter/folder_format.hpp"
#include "folder_fixture.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

using autoround::Code;
using autoround::test::error_of;
using autoround::test::integer_scheme;
using autoround::test::open;
using autoround::test::says;
using autoround::test::TinyModel;
namespace exporter = autoround::exporter;
namespace recipe = autoround::recipe;

namespace {

using Parts = std::vector<std::string>;

void check_refused(const TinyModel& model, Code code, const Parts& parts) {
  try {
    exporter::compressed_tensors_layout()->check(model.plan());
    FAIL("the plan was accepted");
  } catch (const autoround::Error& error) {
    INFO(error.what());
    CHECK(error.code() == code);
    CHECK(error.subject() == "compressed-tensors");
    for (const auto& part : parts) CHECK(std::string(error.what()).find(part) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("rules: every width, with and without zero points, by group, row or tensor", "[exporter]") {
  TinyModel model;
  for (int bits = 2; bits <= 8; ++bits) {
    for (const bool symmetric : {true, false}) {
      for (const std::int64_t group : {32, -1, 0}) {
        recipe::Recipe recipe;
        recipe.config_groups = {{"g", integer_scheme({"Linear"}, bits, symmetric, group)}};
        model.apply(recipe);
        CHECK_NOTHROW(exporter::compressed_tensors_layout()->check(model.plan()));
      }
    }
  }
}

TEST_CASE("rules: layers that readers fuse need one scheme, and all that differ are named", "[exporter]") {
  TinyModel model;
  recipe::Recipe recipe;
  recipe.config_groups = {{"v", integer_scheme({"model.layers.0.self_attn.v_proj"}, 8, true, 32)},
                          {"rest", integer_scheme({"Linear"}, 4, true, 32)}};
  recipe.ignore = {"model.layers.1.mlp.up_proj", "lm_head"};
  model.apply(recipe);
  check_refused(
      model, Code::invalid_argument,
      {"`model.layers.0.self_attn.q_proj` (int4 group 32 sym)", "`model.layers.0.self_attn.v_proj` (int8 group 32 sym)",
       "`model.layers.1.mlp.gate_proj`", "`model.layers.1.mlp.up_proj` (not quantized)"});
}

TEST_CASE("rules: fused layers may come from two groups that say the same, or be left alone together", "[exporter]") {
  TinyModel model;
  recipe::Recipe recipe;
  recipe.config_groups = {{"v", integer_scheme({"re:.*v_proj"}, 4, true, 32)},
                          {"rest", integer_scheme({"Linear"}, 4, true, 32)}};
  recipe.ignore = {"re:.*mlp.gate_proj", "re:.*mlp.up_proj"};
  model.apply(recipe);
  CHECK_NOTHROW(exporter::compressed_tensors_layout()->check(model.plan()));
}

TEST_CASE("rules: experts of a layer need one scheme, and a symmetric one", "[exporter]") {
  TinyModel model;
  for (auto& module : model.modules)
    if (module.name.find(".mlp.") != std::string::npos) module.fused_with = recipe::fused_experts;
  recipe::Recipe recipe;
  recipe.config_groups = {{"down", integer_scheme({"model.layers.1.mlp.down_proj"}, 8, true, 32)},
                          {"rest", integer_scheme({"Linear"}, 4, true, 32)}};
  model.apply(recipe);
  check_refused(model, Code::invalid_argument,
                {"`model.layers.1.mlp.gate_proj` (int4 group 32 sym) with `model.layers.1.mlp.down_proj` (int8"});
  recipe.config_groups = {{"all", integer_scheme({"Linear"}, 4, false, 32)}};
  model.apply(recipe);
  check_refused(model, Code::invalid_argument,
                {"experts must be symmetric", "`model.layers.0.mlp.gate_proj` is int4 group 32 asym, as are 5 more"});
}

TEST_CASE("rules: experts that are one tensor have no place in a folder", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4());
  for (auto& module : model.modules)
    if (module.name.find("layers.1.mlp.") != std::string::npos) module.stack = "model.layers.1.mlp.experts";
  check_refused(model, Code::unsupported,
                {"`model.layers.1.mlp.experts` holds all experts", "ignore `re:.*[.]experts"});
  CHECK_THROWS_AS(exporter::auto_round_layout()->check(model.plan()), autoround::Error);
  CHECK_NOTHROW(exporter::fake_layout()->check(model.plan()));
}

TEST_CASE("rules: columns must be whole groups", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4());
  for (auto& [name, format] : model.formats) format.group = 64;
  check_refused(model, Code::invalid_argument,
                {"`model.layers.0.mlp.down_proj` has 96 columns", "`model.layers.1.mlp.down_proj`", "group_size 64"});
}

TEST_CASE("rules: columns must be whole groups of inputs too", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::preset("FP8_BLOCK"));
  CHECK_NOTHROW(exporter::compressed_tensors_layout()->check(model.plan()));
  for (auto& [name, format] : model.formats) format.input->group = 128;
  check_refused(model, Code::invalid_argument,
                {"`model.layers.0.self_attn.q_proj` has 64 columns, not a multiple of its inputs' group_size 128"});
  recipe::Recipe recipe;
  recipe.scheme = recipe::preset_scheme("FP8_BLOCK");
  const autoround::Error error = error_of([&] { model.apply(recipe); });
  CHECK(error.subject() == "group_size");
  CHECK(says(error, "`model.layers.1.mlp.down_proj` has 96 columns, which its inputs' group_size 128 does not divide"));
}

TEST_CASE("rules: layers that readers fuse are stored in one format", "[exporter]") {
  TinyModel model;
  recipe::QuantizationScheme bytes = recipe::preset_scheme("W8A8"), packed = bytes;
  bytes.targets = {"Linear"};
  packed.targets = {"re:.*(up|o)_proj"};
  packed.format = "pack-quantized";
  recipe::Recipe recipe;
  recipe.config_groups = {{"bytes", bytes}, {"packed", packed}};
  model.apply(recipe);
  check_refused(model, Code::invalid_argument,
                {"`model.layers.0.mlp.gate_proj` with `model.layers.0.mlp.up_proj`", "ask for different formats"});
  recipe.config_groups[1].second.targets = {"re:.*o_proj"};
  model.apply(recipe);
  CHECK_NOTHROW(exporter::compressed_tensors_layout()->check(model.plan()));
}

TEST_CASE("rules: embeddings that readers cannot look up", "[exporter]") {
  TinyModel model;
  recipe::Recipe recipe;
  recipe.config_groups = {{"g", integer_scheme({"model.embed_tokens"}, 4, false, 32)}};
  model.apply(recipe);
  check_refused(model, Code::invalid_argument, {"`model.embed_tokens` is int4 group 32 asym"});
}

TEST_CASE("rules: what the format has no place for", "[exporter]") {
  TinyModel model;
  SECTION("another layout") {
    recipe::Recipe recipe = TinyModel::w4();
    recipe.config_groups[0].second.format = "int-quantized";
    model.apply(recipe);
    check_refused(model, Code::unsupported, {"group `all` asks for format `int-quantized`"});
  }
  SECTION("no module at all") {
    model.apply(TinyModel::w4({"Linear"}));
    check_refused(model, Code::invalid_argument, {"quantizes no module"});
  }
  SECTION("a checkpoint that is already quantized") {
    model.apply(TinyModel::w4());
    exporter::FolderFormat format(exporter::compressed_tensors_layout());
    model.run(format, model.output);
    model.checkpoint = open(model.output);
    check_refused(model, Code::unsupported, {"already quantized"});
  }
}
