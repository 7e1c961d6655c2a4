#include <cstring>

#include "host.hpp"

namespace {

std::string get(const host::Recipe& recipe, const char* key) {
  return host::make<host::Text>(autoround_recipe_get, static_cast<const autoround_recipe*>(recipe.get()), key).get();
}

host::Recipe parse(const std::string& text, const char* syntax) {
  return host::make<host::Recipe>(autoround_recipe_parse, text.data(), text.size(), syntax);
}

std::string dump(const host::Recipe& recipe, const char* syntax) {
  return host::make<host::Text>(autoround_recipe_dump, static_cast<const autoround_recipe*>(recipe.get()), syntax)
      .get();
}

}  // namespace

TEST_CASE("recipe: TOML to YAML and back is the same recipe", "[capi][recipe]") {
  const std::string toml =
      "[test_stage.modifiers.AutoRoundModifier]\nscheme = \"W4A16_ASYM\"\nignore = [\"lm_head\", "
      "\"re:.*\\U0001F600\"]\niters = 7\n";
  const host::Recipe first = parse(toml, "toml");
  const host::Recipe second = parse(dump(first, "yaml"), "yaml");
  CHECK(dump(first, "toml") == dump(second, "toml"));
  CHECK(get(second, "iters") == "7");
  CHECK(get(second, "ignore").find("\xF0\x9F\x98\x80") != std::string::npos);
}

TEST_CASE("recipe: every key has a name and help, and can be read", "[capi][recipe]") {
  const auto recipe = host::make<host::Recipe>(autoround_recipe_new);
  REQUIRE(autoround_recipe_key_count() > 20);
  for (size_t i = 0; i < autoround_recipe_key_count(); ++i) {
    INFO(autoround_recipe_key_name(i));
    CHECK(std::strlen(autoround_recipe_key_name(i)) > 0);
    CHECK(std::strlen(autoround_recipe_key_help(i)) > 0);
    get(recipe, autoround_recipe_key_name(i));
  }
  CHECK(std::string(autoround_recipe_key_name(SIZE_MAX)) == "");
}

TEST_CASE("recipe: setters refuse what does not fit and change nothing", "[capi][recipe]") {
  const auto recipe = host::make<host::Recipe>(autoround_recipe_new);
  host::ok(autoround_recipe_set_int, recipe.get(), "iters", int64_t{12});
  const host::Failure unknown = host::failure(autoround_recipe_set_int, recipe.get(), "itres", int64_t{3});
  CHECK(unknown.status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(unknown.subject == "itres");
  CHECK(unknown.message.find("iters") != std::string::npos);
  CHECK(host::failure(autoround_recipe_set_int, recipe.get(), "iters", int64_t{-1}).subject == "iters");
  CHECK(host::failure(autoround_recipe_set_string, recipe.get(), "iters", "many").status ==
        AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(host::failure(autoround_recipe_set_string, recipe.get(), "scheme", "W4A17").message.find("W4A16") !=
        std::string::npos);
  CHECK(get(recipe, "iters") == "12");
}

TEST_CASE("recipe: a syntax error says where", "[capi][recipe]") {
  const std::string text = "[AutoRoundModifier]\nscheme = \"W4A16\"\ngroup_sze = 3\n";
  autoround_recipe* none = nullptr;
  const host::Failure said = host::failure(autoround_recipe_parse, text.data(), text.size(), "toml", &none);
  CHECK(said.status == AUTOROUND_ERROR_PARSE);
  CHECK(said.line == 3);
  CHECK(said.column > 0);
  CHECK(none == nullptr);
}

TEST_CASE("recipe: clones are independent", "[capi][recipe]") {
  const auto recipe = host::make<host::Recipe>(autoround_recipe_new);
  const auto copy =
      host::make<host::Recipe>(autoround_recipe_clone, static_cast<const autoround_recipe*>(recipe.get()));
  host::ok(autoround_recipe_set_int, copy.get(), "iters", int64_t{3});
  CHECK(get(recipe, "iters") == "200");
  CHECK(get(copy, "iters") == "3");
}

TEST_CASE("recipe: validation against a model lists every offender", "[capi][recipe]") {
  const host::Toy toy;
  host::ok(autoround_recipe_set_int, toy.recipe.get(), "weights.group_size", int64_t{40});
  const host::Failure said =
      host::failure(autoround_recipe_validate, static_cast<const autoround_recipe*>(toy.recipe.get()),
                    static_cast<const autoround_model*>(toy.model.get()));
  CHECK(said.status == AUTOROUND_ERROR_INVALID_ARGUMENT);
  CHECK(said.message.find("model.layers.0.self_attn.q_proj") != std::string::npos);
  CHECK(said.message.find("model.layers.1.mlp.down_proj") != std::string::npos);
}
