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
  const auto add = [&](std::string name, std::string type, std::int64_t block, std::vector<std::int64_t> shape) {
    modules.push_back({.name = std::move(name),
                       .class_name = std::move(type),
                       .bases = {"Module"},
                       .block = block,
                       .shape = std::move(shape)});
  };
  add("model.embed_tokens", "Embedding", -1, {1000, 256});
  for (std::int64_t i = 0; i < 2; ++i) {
    const std::string layer = "model.layers." + std::to_string(i);
    add(layer, "LlamaDecoderLayer", i, {});
    add(layer + ".self_attn.q_proj", "Linear", i, {256, 256});
    add(layer + ".mlp.down_proj", "Linear", i, {256, 384});
    add(layer + ".input_layernorm", "LlamaRMSNorm", i, {256});
  }
  add("lm_head", "Linear", -1, {1000, 256});
  return modules;
}

Recipe recipe_of(const std::string& yaml) { return Recipe::parse("AutoRoundModifier: " + yaml, Syntax::yaml); }

/// name -> the group's name, or the reason in brackets.
std::map<std::string, std::string> assigned(const Recipe& recipe, const Logger& log = {}) {
  const auto modules = model();
  const auto groups = recipe.groups();
  std::map<std::string, std::string> out;
  for (const auto& entry : assign(recipe, modules, log).linears) {
    out[entry.module->name] = entry.group ? groups[*entry.group].first : "[" + entry.reason + "]";
  }
  return out;
}

using Map = std::map<std::string, std::string>;

}  // namespace

TEST_CASE("assign: one scheme for every Linear but the ignored", "[recipe]") {
  CHECK(assigned(recipe_of("{scheme: W4A16, ignore: [lm_head, 're:.*layers.1.*q_proj']}")) ==
        Map{{"model.layers.0.self_attn.q_proj", "group_0"},
            {"model.layers.0.mlp.down_proj", "group_0"},
            {"model.layers.1.self_attn.q_proj", "[ignored by `re:.*layers.1.*q_proj`]"},
            {"model.layers.1.mlp.down_proj", "group_0"},
            {"lm_head", "[ignored by `lm_head`]"}});
}

TEST_CASE("assign: a name goes before a pattern, a pattern before a class, patterns by alphabet", "[recipe]") {
  CHECK(assigned(recipe_of("{config_groups: {W8A16: [Linear], W2A16: ['re:model.*proj'], W3A16: ['re:.*layers.1.*'],"
                           " W4A16: [model.layers.1.mlp.down_proj]}}")) ==
        Map{{"model.layers.0.self_attn.q_proj", "W2A16"},
            {"model.layers.0.mlp.down_proj", "W2A16"},
            {"model.layers.1.self_attn.q_proj", "W3A16"},
            {"model.layers.1.mlp.down_proj", "W4A16"},
            {"lm_head", "W8A16"}});
}

TEST_CASE("assign: modules without a group say why", "[recipe]") {
  CHECK(assigned(recipe_of("{config_groups: {W4A16: ['re:.*q_proj'], UNQUANTIZED: [lm_head]}}")) ==
        Map{{"model.layers.0.self_attn.q_proj", "W4A16"},
            {"model.layers.0.mlp.down_proj", "[no group matches]"},
            {"model.layers.1.self_attn.q_proj", "W4A16"},
            {"model.layers.1.mlp.down_proj", "[no group matches]"},
            {"lm_head", "[left alone by group `UNQUANTIZED` through `lm_head`]"}});
}

TEST_CASE("assign: embeddings by name or class, never by a pattern", "[recipe]") {
  CHECK(assigned(recipe_of("{scheme: W4A16, targets: ['re:.*']}")).count("model.embed_tokens") == 0);
  CHECK(assigned(recipe_of("{scheme: W4A16, targets: [Linear, Embedding]}")).at("model.embed_tokens") == "group_0");
  CHECK(assigned(recipe_of("{scheme: W4A16, targets: [model.embed_tokens]}")).at("model.embed_tokens") == "group_0");
  const auto error = error_of([] { assigned(recipe_of("{scheme: W4A16, targets: ['re:.*embed.*']}")); });
  CHECK(says(error, "name the embedding `model.embed_tokens`"));
}

TEST_CASE("assign: targets that match nothing are all listed", "[recipe]") {
  const auto error =
      error_of([] { assigned(recipe_of("{scheme: W4A16, targets: [Linar, LlamaRMSNorm, 're:x', lm_head]}")); });
  CHECK(error.code() == Code::invalid_argument);
  CHECK(error.subject() == "targets");
  CHECK(says(error, "`Linar` matched no module"));
  CHECK(says(error, "did you mean `Linear`?"));
  CHECK(says(
      error,
      "`LlamaRMSNorm` matched no module that can be quantized: `model.layers.0.input_layernorm` is a LlamaRMSNorm"));
  CHECK(says(error, "`re:x` matched no module"));
  CHECK(!says(error, "`lm_head`"));
}

TEST_CASE("assign: all modules that group_size does not divide are listed", "[recipe]") {
  const std::string yaml = "{scheme: {weights: {num_bits: 4, group_size: 256}}}";
  const auto error = error_of([&] { assigned(recipe_of(yaml)); });
  CHECK(error.code() == Code::invalid_argument);
  CHECK(error.subject() == "group_size");
  CHECK(says(error, "`model.layers.0.mlp.down_proj` has 384 columns, which group_size 256 does not divide"));
  CHECK(says(error, "`model.layers.1.mlp.down_proj`"));
  CHECK(!says(error, "q_proj"));
  auto ignoring = recipe_of(yaml);
  append_value(ignoring, "ignore", "re:.*down_proj");
  CHECK_NOTHROW(assigned(ignoring));
  CHECK_NOTHROW(assigned(recipe_of("{scheme: {weights: {num_bits: 4, group_size: -1}}}")));
}

TEST_CASE("assign: an ignore that matches nothing warns", "[recipe]") {
  std::vector<std::string> lines;
  const Logger log(LogLevel::warn, [&](LogLevel, std::string_view text) { lines.emplace_back(text); });
  assigned(recipe_of("{scheme: W4A16, ignore: [lm_head, visual]}"), log);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0] == "ignore `visual` matched no module");
}

TEST_CASE("assign: an ignore that names no more than what holds modules warns", "[recipe]") {
  const auto warnings = [](const std::string& ignore) {
    std::vector<std::string> lines;
    const Logger log(LogLevel::warn, [&](LogLevel, std::string_view text) { lines.emplace_back(text); });
    CHECK(assigned(recipe_of("{scheme: W4A16, ignore: [" + ignore + "]}"), log).at("model.layers.1.mlp.down_proj") ==
          "group_0");
    return lines;
  };
  const std::string end = "matched no module that can be quantized: `model.layers.";
  CHECK(warnings("LlamaDecoderLayer") ==
        std::vector{"ignore `LlamaDecoderLayer` " + end +
                    R"(0` is a LlamaDecoderLayer; what it holds is `re:model\.layers\.0\..*`)"});
  CHECK(warnings("model.layers.1, 're:.*layers.0$'") ==
        std::vector{"ignore `model.layers.1` " + end +
                        R"(1` is a LlamaDecoderLayer; what it holds is `re:model\.layers\.1\..*`)",
                    "ignore `re:.*layers.0$` " + end +
                        R"(0` is a LlamaDecoderLayer; what it holds is `re:model\.layers\.0\..*`)"});
  // These have weights, and none of them is quantized.
  CHECK(warnings("LlamaRMSNorm, model.embed_tokens, 're:.*layers.0'").empty());
}

TEST_CASE("assign: entries come in module order", "[recipe]") {
  const auto modules = model();
  const auto entries = assign(recipe_of("{scheme: W4A16}"), modules, {}).linears;
  for (std::size_t i = 1; i < entries.size(); ++i) CHECK(entries[i - 1].module < entries[i].module);
}

TEST_CASE("scheme_of: one module by the rules of all, without the others", "[recipe]") {
  const Recipe recipe = recipe_of(
      "{scheme: W4A16, ignore: [lm_head], layers: {'re:.*down_proj': {scheme: W8A16}, lm_head: {scheme: W8A16}}}");
  const auto module = [](std::string name, std::int64_t columns = 256) {
    return ModuleInfo{.name = std::move(name), .class_name = "Linear", .block = 0, .shape = {64, columns}};
  };
  CHECK(scheme_of(recipe, module("model.layers.3.mlp.up_proj")).weights->num_bits == 4);
  CHECK(scheme_of(recipe, module("model.layers.3.mlp.down_proj")).weights->num_bits == 8);
  CHECK(scheme_of(recipe, module("lm_head")).weights->num_bits == 8);

  const Recipe attention = recipe_of("{scheme: W4A16, targets: ['re:.*self_attn'], ignore: ['re:.*o_proj']}");
  CHECK(scheme_of(attention, module("model.layers.0.self_attn.q_proj")).weights->num_bits == 4);
  const auto refused = [](const Recipe& by, const ModuleInfo& given) {
    const Error error = error_of([&] { scheme_of(by, given); });
    CHECK(error.code() == Code::invalid_argument);
    return test::text_of(error);
  };
  CHECK(refused(attention, module("up_proj")) == "up_proj: the recipe does not quantize `up_proj`: no group matches");
  CHECK(refused(attention, module("self_attn.o_proj")) ==
        "self_attn.o_proj: the recipe does not quantize `self_attn.o_proj`: ignored by `re:.*o_proj`");
  CHECK(refused(recipe, module("up_proj", 200)) ==
        "group_size: `up_proj` has 200 columns, which group_size 128 does not divide");
  CHECK(refused(recipe_of("{scheme: UNQUANTIZED}"), module("up_proj")).find("left alone") != std::string::npos);
}

}  // namespace autoround::recipe
