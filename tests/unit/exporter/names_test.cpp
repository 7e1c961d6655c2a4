// By which names and patterns config.json leads readers to modules: of models with experts, with embeddings that stay
// as they were, with a second name for each module, and with parts that nobody here knows.
#include <algorithm>

#include "base/file.hpp"
#include "exporter/auto_round_config.hpp"
#include "exporter/compressed_tensors_config.hpp"
#include "exporter/compressed_tensors_layout.hpp"
#include "folder_fixture.hpp"
#include "support/catch.hpp"

using autoround::Json;
using autoround::test::integer_scheme;
using autoround::test::open;
using autoround::test::TinyModel;
namespace exporter = autoround::exporter;
namespace recipe = autoround::recipe;

namespace {

using Names = std::vector<std::string>;
using Groups = std::vector<std::pair<std::string, recipe::QuantizationScheme>>;

Json config_with(TinyModel& model, const Groups& groups, const Names& ignore = {"re:.*lm_head"}) {
  recipe::Recipe recipe;
  recipe.config_groups = groups;
  recipe.ignore = ignore;
  model.apply(recipe);
  return exporter::compressed_tensors_config(model.plan());
}

bool has(const Json& list, const std::string& name) { return std::find(list.begin(), list.end(), name) != list.end(); }

/// The feed-forward network of each layer is one expert.
struct SparseModel : TinyModel {
  SparseModel() {
    for (auto& module : modules) {
      const std::size_t mlp = module.name.find(".mlp.");
      if (mlp == std::string::npos) continue;
      module.name.insert(mlp + 4, ".experts.0");
      module.fused_with = recipe::fused_experts;
    }
  }
};

/// Which group transformers takes for experts (get_experts_scheme of integrations/compressed_tensors.py).
Json group_of_experts(const Json& config) {
  const Json& groups = config["config_groups"];
  const auto with_target = [&](const auto& wanted) {
    return std::find_if(groups.begin(), groups.end(), [&](const Json& group) {
      return std::any_of(group["targets"].begin(), group["targets"].end(),
                         [&](const Json& target) { return wanted(target.get<std::string>()); });
    });
  };
  auto found = with_target([](const std::string& target) {
    return target.rfind("re:", 0) == 0 && target.find("experts") != std::string::npos;
  });
  if (found == groups.end()) found = with_target([](const std::string& target) { return target.rfind("re:", 0) != 0; });
  return found == groups.end() ? groups.front() : *found;
}

/// A multimodal checkpoint that calls its modules otherwise than transformers does, with `others` beside them.
struct TwoNamesModel : TinyModel {
  explicit TwoNamesModel(const Names& others = {}) {
    const std::string outer = "model.";
    autoround::test::Tensors tensors;
    for (auto& module : modules) {
      const bool inside = module.name.rfind(outer, 0) == 0;
      module.alias = inside ? "model.language_model." + module.name.substr(outer.size()) : module.name;
      module.name.insert(0, "language_model.");
      module.weight.insert(0, "language_model.");
      tensors.emplace_back(module.weight, at::zeros(module.shape));
    }
    for (const std::string& other : others) tensors.emplace_back(other, at::zeros({2, 2}));
    directory = folder.make("multimodal");
    autoround::test::write_tensors(directory, tensors);
    Json config;
    config["text_config"] = checkpoint->config().json();
    autoround::write_text_file(autoround::join_path(directory, "config.json"), config.dump());
    checkpoint = open(directory);
  }
};

const Names unknown_tensors = {"language_model.model.layers.2.self_attn.q_proj.weight",
                               "multi_modal_projector.linear_1.weight", "vision_tower.patch_conv.weight",
                               "vision_tower.layers.0.fc1.weight"};

}  // namespace

TEST_CASE("names: embeddings that a target matches are ignored", "[exporter]") {
  TinyModel model;
  const std::string embeddings = "model.embed_tokens";
  for (const char* target : {"re:.*", "re:model.*"})
    CHECK(has(config_with(model, {{"g", integer_scheme({target}, 4, true, 32)}})["ignore"], embeddings));
  for (const char* target : {"Linear", "re:.*_proj"})
    CHECK_FALSE(has(config_with(model, {{"g", integer_scheme({target}, 4, true, 32)}})["ignore"], embeddings));
  CHECK_FALSE(
      has(config_with(model, {{"g", integer_scheme({"re:.*", embeddings}, 4, true, 32)}})["ignore"], embeddings));
}

TEST_CASE("names: a pattern leads transformers to the scheme of the experts", "[exporter]") {
  SparseModel model;
  const auto rest = integer_scheme({"Linear"}, 4, true, 32);
  const std::string pattern = "re:.*[.]experts[.].*";
  SECTION("beside a class") {
    const Json config = config_with(model, {{"o", integer_scheme({"re:.*o_proj"}, 8, true, 32)}, {"rest", rest}});
    CHECK(config["config_groups"]["group_0"]["targets"] == Json({"Linear", pattern}));
    CHECK(group_of_experts(config)["weights"]["num_bits"] == 4);
  }
  SECTION("beside names, instead of that of each expert") {
    const Json config = config_with(model, {{"a", integer_scheme({"re:.*self_attn.*"}, 8, true, 32)}, {"rest", rest}});
    CHECK(config["config_groups"]["group_0"]["targets"] == Json({pattern}));
    CHECK(config["config_groups"]["group_1"]["targets"].size() == 8);
    CHECK(group_of_experts(config)["weights"]["num_bits"] == 4);
  }
  SECTION("the recipe's own, before what only sounds like one") {
    for (auto& module : model.modules)
      if (const std::size_t o_proj = module.name.find("self_attn.o_proj"); o_proj != std::string::npos)
        module.name.replace(o_proj, std::string::npos, "shared_experts.up_proj");
    const Json config = config_with(model, {{"shared", integer_scheme({"re:.*shared_experts.*"}, 8, true, 32)},
                                            {"all", integer_scheme({"re:.*mlp.experts.*"}, 4, true, 32)}});
    CHECK(config["config_groups"]["group_0"]["targets"] == Json({"re:.*mlp.experts.*"}));
    CHECK(group_of_experts(config)["weights"]["num_bits"] == 4);
  }
  SECTION("none is needed where there is one group") {
    CHECK(config_with(model, {{"rest", rest}})["config_groups"]["group_0"]["targets"] == Json({"Linear"}));
  }
}

TEST_CASE("names: experts of layers that differ keep their targets, with a warning", "[exporter]") {
  SparseModel model;
  const auto scheme = [](const char* target, int bits) { return integer_scheme({target}, bits, true, 32); };
  const auto warnings = [&] {
    Names texts;
    exporter::ExportPlan plan = model.plan();
    plan.log = autoround::Logger(autoround::LogLevel::warn,
                                 [&](autoround::LogLevel, std::string_view text) { texts.emplace_back(text); });
    exporter::compressed_tensors_layout()->check(plan);
    return texts;
  };
  const Json config =
      config_with(model, {{"a", scheme("re:.*layers.0.mlp.*", 4)}, {"b", scheme("re:.*layers.1.mlp.*", 8)}});
  CHECK(config["config_groups"]["group_0"]["targets"] == Json({"re:.*layers.0.mlp.*"}));
  REQUIRE(warnings().size() == 1);
  CHECK(warnings().front().find("experts do not have one scheme in all layers") != std::string::npos);
  config_with(model, {{"a", scheme("Linear", 4)}}, {"re:.*layers.1.mlp.*", "lm_head"});
  CHECK(warnings().size() == 1);
  config_with(model, {{"a", scheme("re:.*layers.0.mlp.*", 4)}, {"b", scheme("re:.*layers.1.mlp.*", 4)}});
  CHECK(warnings().empty());
}

TEST_CASE("names: modules with two names are targets by both", "[exporter]") {
  TwoNamesModel model;
  const auto targets = [&](const Groups& groups) {
    return config_with(model, groups)["config_groups"]["group_0"]["targets"];
  };
  const auto rest = integer_scheme({"Linear"}, 4, true, 32);
  const std::string stored = "language_model.model.layers.0.self_attn.o_proj";
  const std::string loaded = "model.language_model.layers.0.self_attn.o_proj";
  for (const std::string& given : {stored, loaded}) {
    const Json found =
        targets({{"o", integer_scheme({given}, 8, true, 32)}, {"q", integer_scheme({"Linear"}, 4, true, 32)}});
    CHECK(found == Json({"Linear"}));
    CHECK(exporter::compressed_tensors_config(model.plan())["config_groups"]["group_1"]["targets"] ==
          Json({given, given == stored ? loaded : stored}));
  }
  CHECK(targets({{"o", integer_scheme({"re:.*layers.0.*o_proj"}, 8, true, 32)}}) == Json({"re:.*layers.0.*o_proj"}));
  CHECK(targets({{"o", integer_scheme({"re:language_model.*layers.0.*o_proj"}, 8, true, 32)}}) ==
        Json({"re:language_model.*layers.0.*o_proj", loaded}));
  // Overlapping patterns are written as names.
  const Json both = targets({{"a", integer_scheme({"re:.*mlp.*"}, 4, true, 32)},
                             {"b", integer_scheme({"re:.*layers.1.mlp.down_proj"}, 8, true, 32)}});
  CHECK(both.size() == 10);
  CHECK(has(both, "language_model.model.layers.0.mlp.up_proj"));
  CHECK(has(both, "model.language_model.layers.0.mlp.up_proj"));
}

TEST_CASE("names: the other formats know modules with two names as their readers do", "[exporter]") {
  TwoNamesModel model;
  config_with(model,
              {{"down", integer_scheme({"re:.*layers.1.mlp.down_proj"}, 8, true, 32)},
               {"rest", integer_scheme({"Linear"}, 4, true, 32)}},
              {"re:.*lm_head", "re:.*layers.0.*o_proj"});
  const Json auto_round = exporter::auto_round_config(model.plan(), "auto_round:auto_gptq");
  CHECK(auto_round["block_name_to_quantize"] == "model.language_model.layers");
  const Json& extra = auto_round["extra_config"];
  CHECK(extra.size() == 2);
  CHECK(extra["model.language_model.layers.1.mlp.down_proj"]["bits"] == 8);
  CHECK(extra["model.language_model.layers.0.self_attn.o_proj"] == Json{{"bits", 16}});
  const Json dynamic = exporter::gptq_config(model.plan())["dynamic"];
  CHECK(dynamic.size() == 4);
  for (const char* place : {"language_model\\.model", "model\\.language_model"}) {
    CHECK(dynamic.contains("+:^" + std::string(place) + "\\.layers\\.1\\.mlp\\.down_proj$"));
    CHECK(dynamic.contains("-:^" + std::string(place) + "\\.layers\\.0\\.self_attn\\.o_proj$"));
  }
  CHECK(exporter::awq_config(model.plan())["modules_to_not_convert"] ==
        Json({"language_model.model.layers.0.self_attn.o_proj", "model.language_model.layers.0.self_attn.o_proj",
              "language_model.lm_head", "lm_head"}));
}

TEST_CASE("names: parts that nobody knows stay, and no layer of the language model with them", "[exporter]") {
  TwoNamesModel model(unknown_tensors);
  const Json config = config_with(model, {{"rest", integer_scheme({"Linear"}, 4, true, 32)}});
  CHECK(config["ignore"] == Json({"language_model.lm_head", "lm_head", "language_model.model.layers.2.self_attn.q_proj",
                                  "re:(.*[.])?multi_modal_projector[.].*", "re:(.*[.])?vision_tower[.].*"}));
  CHECK(exporter::awq_config(model.plan())["modules_to_not_convert"] ==
        Json({"language_model.lm_head", "lm_head", "language_model.model.layers.2.self_attn.q_proj",
              "multi_modal_projector", "model.multi_modal_projector", "vision_tower", "model.vision_tower"}));
}
