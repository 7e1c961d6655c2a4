#include <cstdio>

#include "base/file.hpp"
#include "base/json.hpp"
#include "exporter/compressed_tensors_config.hpp"
#include "exporter/compressed_tensors_layout.hpp"
#include "exporter/folder_format.hpp"
#include "folder_fixture.hpp"
#include "support/catch.hpp"

using autoround::Json;
using autoround::test::integer_scheme;
using autoround::test::open;
using autoround::test::read_bytes;
using autoround::test::TinyModel;
namespace exporter = autoround::exporter;

namespace {

using Names = std::vector<std::string>;

Names keys(const Json& object) {
  Names names;
  for (const auto& item : object.items()) names.push_back(item.key());
  return names;
}

Json written_config(const TinyModel& model) {
  exporter::FolderFormat format(exporter::compressed_tensors_layout());
  model.run(format, model.output);
  return autoround::parse_json(autoround::read_text_file(autoround::join_path(model.output, "config.json"), 1 << 20),
                               "config.json");
}

}  // namespace

TEST_CASE("config: one group says what compressed-tensors says", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4());
  CHECK(exporter::compressed_tensors_config(model.plan()).dump(2) == R"({
  "config_groups": {
    "group_0": {
      "format": "pack-quantized",
      "input_activations": null,
      "output_activations": null,
      "targets": [
        "Linear"
      ],
      "weights": {
        "dynamic": false,
        "group_size": 32,
        "num_bits": 4,
        "strategy": "group",
        "symmetric": true,
        "type": "int"
      }
    }
  },
  "format": "pack-quantized",
  "global_compression_ratio": null,
  "ignore": [
    "lm_head",
    "mtp.fc"
  ],
  "kv_cache_scheme": null,
  "moe_sparsity_config": null,
  "quant_method": "compressed-tensors",
  "quantization_status": "compressed",
  "sparsity_config": {},
  "transform_config": {},
  "version": "0.20.0"
})");
}

TEST_CASE("config: the checkpoint's own keys stay as they were", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4());
  Json config = written_config(model);
  const Json& original = model.checkpoint->config().json();
  Names expected = keys(original);
  expected.push_back("quantization_config");
  CHECK(keys(config) == expected);
  config.erase("quantization_config");
  CHECK(config.dump() == original.dump());
}

TEST_CASE("config: groups are numbered as they first appear", "[exporter]") {
  TinyModel model;
  autoround::recipe::Recipe recipe;
  recipe.config_groups = {{"head", integer_scheme({"lm_head"}, 8, true, -1)},
                          {"down", integer_scheme({"re:.*down_proj"}, 2, false, 32)},
                          {"rest", integer_scheme({"Linear"}, 4, true, 64)}};
  recipe.ignore = {"re:.*o_proj"};
  model.apply(recipe);
  const Json config = exporter::compressed_tensors_config(model.plan());
  const Json& groups = config["config_groups"];
  CHECK(keys(groups) == Names{"group_0", "group_1", "group_2"});
  CHECK(groups["group_0"]["targets"] == Json({"Linear"}));
  CHECK(groups["group_0"]["weights"]["num_bits"] == 4);
  CHECK(groups["group_1"]["targets"] == Json({"re:.*down_proj"}));
  CHECK(groups["group_1"]["weights"]["symmetric"] == false);
  CHECK(groups["group_2"]["targets"] == Json({"lm_head"}));
  CHECK(groups["group_2"]["weights"]["strategy"] == "channel");
  CHECK(groups["group_2"]["weights"]["group_size"].is_null());
  CHECK(config["ignore"] == Json({"model.layers.0.self_attn.o_proj", "model.layers.1.self_attn.o_proj", "mtp.fc"}));
}

TEST_CASE("config: a head reached by class alone is also named", "[exporter]") {
  TinyModel model;
  model.apply(TinyModel::w4({}));
  const Json config = exporter::compressed_tensors_config(model.plan());
  CHECK(config["config_groups"]["group_0"]["targets"] == Json({"Linear", "lm_head"}));
  CHECK(config["ignore"] == Json({"mtp.fc"}));
}

TEST_CASE("config: groups whose patterns overlap list their modules", "[exporter]") {
  TinyModel model;
  autoround::recipe::Recipe recipe;
  recipe.config_groups = {{"mlp", integer_scheme({"re:.*mlp.*"}, 4, true, 32)},
                          {"down", integer_scheme({"model.layers.0.mlp.down_proj"}, 8, true, 32)}};
  model.apply(recipe);
  const Json groups = exporter::compressed_tensors_config(model.plan())["config_groups"];
  CHECK(groups["group_0"]["targets"] ==
        Json({"model.layers.0.mlp.gate_proj", "model.layers.0.mlp.up_proj", "model.layers.1.mlp.gate_proj",
              "model.layers.1.mlp.up_proj", "model.layers.1.mlp.down_proj"}));
  CHECK(groups["group_1"]["targets"] == Json({"model.layers.0.mlp.down_proj"}));
}

TEST_CASE("config: fused layers beside a class list their modules", "[exporter]") {
  TinyModel model;
  autoround::recipe::Recipe recipe;
  recipe.config_groups = {{"attention", integer_scheme({"re:.*self_attn.*"}, 8, true, 32)},
                          {"rest", integer_scheme({"Linear"}, 4, true, 32)}};
  recipe.ignore = {"lm_head"};
  model.apply(recipe);
  const Json groups = exporter::compressed_tensors_config(model.plan())["config_groups"];
  CHECK(groups["group_0"]["targets"].size() == 8);
  CHECK(groups["group_0"]["targets"][1] == "model.layers.0.self_attn.k_proj");
  CHECK(groups["group_1"]["targets"].size() == 6);
  recipe.config_groups[0].second.targets = {"re:.*o_proj"};  // which no reader fuses
  model.apply(recipe);
  CHECK(exporter::compressed_tensors_config(model.plan())["config_groups"]["group_0"]["targets"] == Json({"Linear"}));
}

TEST_CASE("config: embeddings are listed once one is quantized", "[exporter]") {
  TinyModel model;
  autoround::recipe::Recipe recipe;
  recipe.config_groups = {{"g", integer_scheme({"re:.*down_proj", "Embedding"}, 8, true, 32)}};
  recipe.ignore = {"model.other_embeddings"};
  model.modules.push_back(model.modules.front());
  model.modules.back().name = "model.other_embeddings";
  model.apply(recipe);
  const Json config = exporter::compressed_tensors_config(model.plan());
  CHECK(config["config_groups"]["group_0"]["targets"] == Json({"re:.*down_proj", "Embedding"}));
  const Json& ignore = config["ignore"];
  CHECK(std::find(ignore.begin(), ignore.end(), Json("model.other_embeddings")) != ignore.end());
  CHECK(std::find(ignore.begin(), ignore.end(), Json("model.embed_tokens")) == ignore.end());
}

TEST_CASE("config: routers, gates and experts in one tensor are ignored by name", "[exporter]") {
  TinyModel model;
  const auto add = [&](const char* name, const char* class_name, std::vector<std::string> bases = {}) {
    autoround::recipe::ModuleInfo module;
    module.name = std::string("model.layers.1.mlp.") + name;
    module.class_name = class_name;
    module.bases = std::move(bases);
    module.block = 1;
    module.shape = {4, 64};
    model.modules.push_back(module);
  };
  add("gate", "Glm4MoeTopkRouter");
  add("shared_expert_gate", "SharedExpertGate");
  add("experts", "GptOssExperts", {autoround::recipe::fused_experts_class});
  add("gate_norm", "Glm4MoeRMSNorm");
  model.apply(TinyModel::w4());
  const Json config = exporter::compressed_tensors_config(model.plan());
  CHECK(config["ignore"] == Json({"lm_head", "model.layers.1.mlp.gate", "model.layers.1.mlp.shared_expert_gate",
                                  "model.layers.1.mlp.experts", "mtp.fc"}));
}

TEST_CASE("config: quantizing either side of a tied pair unties it", "[exporter]") {
  const std::string target = GENERATE("lm_head", "model.embed_tokens");
  TinyModel model(true);
  autoround::recipe::Recipe recipe;
  recipe.config_groups = {{"g", integer_scheme({target}, 8, true, 32)}};
  model.apply(recipe);
  CHECK(written_config(model)["tie_word_embeddings"] == false);
  const auto written = open(model.output);
  const std::string kept = target == "lm_head" ? "model.embed_tokens.weight" : "lm_head.weight";
  CHECK(read_bytes(*written, kept) == read_bytes(*model.checkpoint, "model.embed_tokens.weight"));
  CHECK(written->find(target + ".weight_packed") != nullptr);
  CHECK(written->find(target + ".weight") == nullptr);
}

TEST_CASE("config: a tied pair that is left alone stays tied", "[exporter]") {
  TinyModel model(true);
  model.apply(TinyModel::w4());
  const Json config = written_config(model);
  CHECK(config["tie_word_embeddings"] == true);
  CHECK(config["quantization_config"]["ignore"] == Json({"lm_head", "mtp.fc"}));
  CHECK(open(model.output)->find("lm_head.weight") == nullptr);
}

TEST_CASE("config: parts of a multimodal model are ignored by patterns, modules with two names by both", "[exporter]") {
  TinyModel model;
  Json config = model.checkpoint->config().json();
  const Json text = config;
  config["text_config"] = text;
  const std::string path = autoround::join_path(model.directory, "config.json");
  std::remove(path.c_str());
  autoround::write_text_file(path, config.dump());
  model.checkpoint = open(model.directory);
  model.modules.back().alias = "the_head";
  model.apply(TinyModel::w4({"the_head"}));
  CHECK(exporter::compressed_tensors_config(model.plan())["ignore"] ==
        Json({"lm_head", "the_head", "re:(.*[.])?mtp[.].*"}));
}
