// Schemes of single layers: `layers.NAME.scheme`.
#include <map>

#include "recipe/keys.hpp"
#include "recipe/matching.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

namespace autoround::recipe {

using test::error_of;
using test::says;

namespace {

std::vector<ModuleInfo> model() {
  std::vector<ModuleInfo> modules;
  const auto add = [&](std::string name, std::string type, std::vector<std::int64_t> shape) {
    modules.push_back({.name = std::move(name), .class_name = std::move(type), .bases = {}, .shape = std::move(shape)});
  };
  add("model.embed_tokens", "Embedding", {1000, 256});
  for (const char* layer : {"model.layers.0", "model.layers.1"}) {
    add(std::string(layer) + ".q_proj", "Linear", {256, 256});
    add(std::string(layer) + ".down_proj", "Linear", {256, 384});
    add(std::string(layer) + ".norm", "LlamaRMSNorm", {256});
  }
  add("lm_head", "Linear", {1000, 256});
  return modules;
}

Recipe recipe_of(const std::string& yaml) { return Recipe::parse("AutoRoundModifier: " + yaml, Syntax::yaml); }

/// name -> the scheme, or the reason in brackets.
std::map<std::string, std::string> assigned(const Recipe& recipe) {
  recipe.validate();
  const auto modules = model();
  const auto groups = recipe.groups();
  std::map<std::string, std::string> out;
  for (const auto& entry : assign(recipe, modules, {}).linears)
    out[entry.module->name] = entry.group ? describe(groups[*entry.group].second) : "[" + entry.reason + "]";
  return out;
}

using Map = std::map<std::string, std::string>;

}  // namespace

TEST_CASE("layers: the last word, before groups, targets and ignores", "[recipe]") {
  const Recipe recipe = recipe_of(
      "{config_groups: {W4A16: [Linear], W2A16: [model.layers.1.q_proj, 're:.*down_proj']}, ignore: [lm_head],"
      " layers: {lm_head: {scheme: W8A16}, model.layers.1.q_proj: {scheme: w3a16},"
      " 're:.*layers[.]0.*': {scheme: UNQUANTIZED}}}");
  CHECK(
      assigned(recipe) ==
      Map{{"model.layers.0.q_proj", "[left alone by group `layers.re:.*layers[.]0.*` through `re:.*layers[.]0.*`]"},
          {"model.layers.0.down_proj", "[left alone by group `layers.re:.*layers[.]0.*` through `re:.*layers[.]0.*`]"},
          {"model.layers.1.q_proj", "W3A16"},
          {"model.layers.1.down_proj", "W2A16"},
          {"lm_head", "W8A16"}});
}

TEST_CASE("layers: a name goes before a pattern, and two patterns may not disagree", "[recipe]") {
  CHECK(
      assigned(recipe_of("{scheme: W4A16, layers: {'re:.*q_proj': {scheme: W8A16}, 're:.*1[.]q_proj': {scheme: W3A16},"
                         " model.layers.1.q_proj: {scheme: W2A16}}}"))
          .at("model.layers.1.q_proj") == "W2A16");
  CHECK(assigned(
            recipe_of("{scheme: W4A16, layers: {'re:.*q_proj': {scheme: W8A16}, 're:model.*q_proj': {scheme: W8A16}}}"))
            .at("model.layers.0.q_proj") == "W8A16");
  const auto error = error_of([] {
    assigned(
        recipe_of("{scheme: W4A16, layers: {'re:.*q_proj': {scheme: W8A16}, 're:model.*q_proj': {scheme: W3A16}}}"));
  });
  CHECK(error.code() == Code::invalid_argument);
  CHECK(error.subject() == "layers.re:model.*q_proj.scheme");
  CHECK(says(error, "`re:.*q_proj` and `re:model.*q_proj` give `model.layers.0.q_proj` different schemes"));
}

TEST_CASE("layers: one that matches nothing is an error, and a class is no layer", "[recipe]") {
  for (const auto& [name, words] : std::initializer_list<std::pair<std::string, std::string>>{
           {"lm_haed", "layer `lm_haed` matched no module that can be quantized (did you mean `lm_head`?)"},
           {"Linear", "layer `Linear` matched no module that can be quantized: `model.layers.0.q_proj` is a Linear"},
           {"re:nothing", "layer `re:nothing` matched no module"},
           {"re:.*embed.*", "name the embedding `model.embed_tokens`"}}) {
    CAPTURE(name);
    Recipe recipe = recipe_of("{scheme: W4A16}");
    set_value(recipe, "layers." + name + ".scheme", std::string("W8A16"));
    const auto error = error_of([&] { assigned(recipe); });
    CHECK(error.code() == Code::invalid_argument);
    CHECK(says(error, words));
  }
  CHECK(error_of([] { recipe_of("{scheme: W4A16, layers: {'re:(': {scheme: W8A16}}}"); }).code() == Code::parse);
}

TEST_CASE("layers: setters take any name, and start from the recipe's scheme", "[recipe]") {
  Recipe recipe;
  set_value(recipe, "scheme", std::string("W4A16"));
  set_value(recipe, "weights.group_size", std::int64_t{64});
  set_value(recipe, "layers.model.layers.1.down_proj.weights.num_bits", std::int64_t{8});
  CHECK(get_value(recipe, "layers.model.layers.1.down_proj.scheme") == "int8 group 64 sym");
  set_value(recipe, "layers.model.layers.1.down_proj.weights.group_size", std::int64_t{32});
  CHECK(get_value(recipe, "layers.model.layers.1.down_proj.scheme") == "int8 group 32 sym");
  CHECK(get_value(recipe, "layers.model.layers.1.down_proj.weights.group_size") == "32");
  set_value(recipe, "layers.re:.*[.]scheme[.]x.scheme", std::string("W8A16"));
  CHECK(recipe.layers.at(1).first == "re:.*[.]scheme[.]x");
  set_value(recipe, "layers.lm_head.scheme", std::string("W8A16"));
  set_value(recipe, "layers.lm_head.scheme", std::string("w2a16"));  // again: replaced
  CHECK(recipe.layers.size() == 3);
  CHECK(get_value(recipe, "layers.lm_head.scheme") == "W2A16");
  CHECK(get_value(recipe, "layers.nobody.scheme") == "");
  CHECK(get_value(recipe, "scheme") == "int4 group 64 sym");

  for (const char* key :
       {"layers.scheme", "layers..scheme", "layers.lm_head", "layers.lm_head.shceme", "layers.lm_head.weights"})
    CHECK(error_of([&, key] { set_value(recipe, key, std::string("W8A16")); }).code() == Code::invalid_argument);
  CHECK(error_of([&] { set_value(recipe, "layers.re:(.scheme", std::string("W8A16")); }).code() == Code::parse);
  CHECK(error_of([&] { set_value(recipe, "layers.lm_head.scheme", std::string("W9")); }).subject() != "");
  CHECK(error_of([] { recipe_of("{layers: {lm_head: {scheme: W8A16}}}").validate(); }).subject() == "scheme");
}

TEST_CASE("layers: both syntaxes, by preset and by table, there and back", "[recipe]") {
  const Recipe yaml = recipe_of(
      "{scheme: W4A16, layers: {z.last: {scheme: W8A16}, 're:.*a[.]\"b\"$': {scheme: {weights: {num_bits: 3, "
      "group_size: 32}}},"
      " gone: {scheme: null}}}");
  const Recipe toml = Recipe::parse(R"(
[AutoRoundModifier]
scheme = "W4A16"
[AutoRoundModifier.layers."z.last"]
scheme = "w8a16"
[AutoRoundModifier.layers.'re:.*a[.]"b"$'.scheme]
weights = {num_bits = 3, group_size = 32}
)",
                                    Syntax::toml);
  CHECK(yaml == toml);
  REQUIRE(yaml.layers.size() == 2);  // null: no scheme of its own
  CHECK(yaml.layers[0].first == "z.last");
  for (const auto syntax : {Syntax::toml, Syntax::yaml}) CHECK(Recipe::parse(yaml.dump(syntax), syntax) == yaml);
}

TEST_CASE("layers: mistakes in a text have a place", "[recipe]") {
  for (const auto& [text, words] : std::initializer_list<std::pair<std::string, std::string>>{
           {"{scheme: W4A16, layers: [lm_head]}", "wanted a table of layers"},
           {"{scheme: W4A16, layers: {lm_head: W8A16}}", "wanted a table with `scheme` in it"},
           {"{scheme: W4A16, layers: {lm_head: {bits: 8}}}", "unknown key; a layer has `scheme`"},
           {"{scheme: W4A16, layers: {lm_head: {scheme: W9}}}", "W9"},
           {"{scheme: W4A16, layers: {lm_head: {scheme: {targets: [x], weights: {}}}}}", "targets"},
           {"{scheme: W4A16, layers: {'': {scheme: W8A16}}}", "empty target"}}) {
    CAPTURE(text);
    const auto error = error_of([&, t = text] { recipe_of(t); });
    CHECK(error.code() == Code::parse);
    CHECK(error.line() == 1);
    CHECK(error.column() > 1);
    CHECK(says(error, words));
  }
}

}  // namespace autoround::recipe
