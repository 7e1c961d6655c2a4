#include "recipe/keys.hpp"

#include <cmath>
#include <map>

#include "support/catch.hpp"
#include "support/errors.hpp"

namespace autoround::recipe {

using test::error_of;
using test::says;

namespace {

struct Case {
  Value good;
  std::string text;  // what get gives back
  std::vector<Value> bad;
};

Value str(const char* text) { return std::string(text); }
Value num(std::int64_t number) { return number; }
Value list(std::vector<std::string> items) { return items; }

const std::map<std::string, Case>& cases() {
  static const std::map<std::string, Case> all = {
      {"scheme", {str("w8a16"), "W8A16", {str("W9"), num(4), str("")}}},
      {"targets", {list({"Linear", "re:.*x"}), "Linear\nre:.*x", {num(1), list({"re:("}), list({""})}}},
      {"ignore", {str("lm_head"), "lm_head", {true, list({"\xff"})}}},
      {"weights.num_bits", {num(3), "3", {num(1), num(9), 4.5, str("four")}}},
      {"weights.group_size", {num(64), "64", {num(0), num(-2), num(3), num(std::int64_t{1} << 31), str("64")}}},
      {"weights.symmetric", {false, "false", {num(0), str("false")}}},
      {"weights.strategy", {str("channel"), "channel", {str("chanel"), num(1)}}},
      {"weights.type", {str("float"), "float", {str("double"), num(8)}}},
      {"layers.NAME.scheme", {str("w8a16"), "W8A16", {str("W9"), num(4), str("")}}},
      {"layers.NAME.weights.num_bits", {num(3), "3", {num(1), num(9), 4.5, str("four")}}},
      {"layers.NAME.weights.group_size", {num(64), "64", {num(0), num(-2), str("64")}}},
      {"layers.NAME.weights.symmetric", {false, "false", {num(0), str("false")}}},
      {"layers.NAME.weights.strategy", {str("channel"), "channel", {str("chanel"), num(1)}}},
      {"layers.NAME.weights.type", {str("float"), "float", {str("double"), num(8)}}},
      {"preset", {str("light"), "light", {str("lite"), str(""), num(1)}}},
      {"iters", {num(0), "0", {num(-1), num(100'001), 5.0, str("5"), true}}},
      {"batch_size", {num(1), "1", {num(0), num(-8)}}},
      {"nsamples", {num(512), "512", {num(0)}}},
      {"seqlen", {num(131'072), "131072", {num(0), num(131'073)}}},
      {"seed", {num(0), "0", {num(-1)}}},
      {"lr", {0.005, "0.005", {0.0, -1.0, 1e30, 1.5, NAN, INFINITY, str("0.1")}}},
      {"minmax_lr", {num(1), "1", {num(0), num(2)}}},
      {"momentum", {0.9, "0.9", {1.0, -0.1, NAN}}},
      {"gradient_accumulate_steps", {num(4), "4", {num(0)}}},
      {"nblocks", {num(2), "2", {num(0)}}},
      {"dynamic_max_gap", {num(-1), "-1", {num(-2)}}},
      {"enable_torch_compile", {false, "false", {num(1)}}},
      {"enable_minmax_tuning", {false, "false", {str("no")}}},
      {"enable_quanted_input", {false, "false", {num(1)}}},
      {"not_use_best_mse", {true, "true", {num(1)}}},
      {"enable_alg_ext", {true, "true", {num(1)}}},
      {"disable_opt_rtn", {true, "true", {str("yes")}}},
      {"scale_dtype", {str("torch.bfloat16"), "bfloat16", {str("int8"), str("float17"), num(16)}}},
      {"on_nan", {str("rtn"), "rtn", {str("ignore"), true}}},
  };
  return all;
}

}  // namespace

TEST_CASE("keys: each is set, read, dumped, refused", "[recipe]") {
  CHECK(keys().size() == cases().size());
  for (const auto& key : keys()) {
    INFO(key.name);
    REQUIRE(cases().count(key.name) == 1);
    CHECK(!key.help.empty());
    CHECK(key.help.find("default") != std::string::npos);
    const Case& c = cases().at(key.name);
    Recipe recipe;
    set_value(recipe, key.name, c.good);
    CHECK(get_value(recipe, key.name) == c.text);
    for (const auto syntax : {Syntax::toml, Syntax::yaml}) {
      CHECK(get_value(Recipe::parse(recipe.dump(syntax), syntax), key.name) == c.text);
    }
    for (const auto& bad : c.bad) {
      INFO(to_text(bad));
      Recipe untouched = recipe;
      const auto error = error_of([&] { set_value(untouched, key.name, bad); });
      CHECK((error.code() == Code::invalid_argument || error.code() == Code::parse));
      CHECK((error.subject() == key.name || error.code() == Code::parse));
      CHECK(untouched == recipe);
    }
  }
}

TEST_CASE("keys: an unknown one finds the nearest", "[recipe]") {
  Recipe recipe;
  const auto error = error_of([&] { set_value(recipe, "weights.group_sze", num(64)); });
  CHECK(error.code() == Code::invalid_argument);
  CHECK(error.subject() == "weights.group_sze");
  CHECK(says(error, "did you mean `weights.group_size`?"));
  CHECK_THROWS_AS(get_value(recipe, ""), Error);
}

TEST_CASE("keys: lists grow", "[recipe]") {
  Recipe recipe;
  append_value(recipe, "ignore", "lm_head");
  append_value(recipe, "ignore", "re:.*gate$");
  CHECK(get_value(recipe, "ignore") == "lm_head\nre:.*gate$");
  CHECK(error_of([&] { append_value(recipe, "iters", "5"); }).subject() == "iters");
  CHECK(error_of([&] { append_value(recipe, "scheme", "W4A16"); }).subject() == "scheme");
  CHECK(error_of([&] { append_value(recipe, "ignore", "re:("); }).code() == Code::parse);
  CHECK(recipe.ignore.size() == 2);
}

TEST_CASE("keys: weights.* change the scheme, or make one", "[recipe]") {
  Recipe recipe;
  set_value(recipe, "weights.symmetric", false);
  CHECK(describe(*recipe.scheme) == "int4 group 128 asym");
  set_value(recipe, "weights.group_size", num(32));
  CHECK(describe(*recipe.scheme) == "int4 group 32 asym");
  set_value(recipe, "weights.group_size", num(-1));
  CHECK(describe(*recipe.scheme) == "int4 channel asym");
  set_value(recipe, "weights.strategy", str("group"));
  CHECK(describe(*recipe.scheme) == "int4 group 128 asym");
  CHECK_NOTHROW(recipe.validate());
  set_value(recipe, "weights.type", str("float"));
  CHECK(says(error_of([&] { recipe.validate(); }), "no zero point"));

  set_value(recipe, "scheme", str("W4A8"));
  set_value(recipe, "weights.num_bits", num(8));
  CHECK(describe(*recipe.scheme) == "int8 group 128 sym, inputs int8");

  Recipe grouped = Recipe::parse("AutoRoundModifier: {config_groups: {W4A16: [Linear]}}", Syntax::yaml);
  CHECK(says(error_of([&] { set_value(grouped, "weights.num_bits", num(8)); }), "config_groups"));
}

TEST_CASE("keys: a preset sets what is not given, in any order", "[recipe]") {
  const auto values = [](const Recipe& recipe) {
    return std::vector<std::int64_t>{recipe.batch_size, recipe.iters, recipe.seqlen, recipe.nsamples};
  };
  Recipe recipe;
  set_value(recipe, "preset", str("best"));
  CHECK(values(recipe) == std::vector<std::int64_t>{8, 1000, 2048, 512});
  CHECK_FALSE(recipe.lr);
  set_value(recipe, "preset", str("light"));
  CHECK(values(recipe) == std::vector<std::int64_t>{8, 50, 2048, 128});
  CHECK(recipe.lr == 5e-3);
  set_value(recipe, "preset", str("default"));
  CHECK_FALSE(recipe.lr);
  recipe.preset.clear();
  CHECK(recipe == Recipe());

  // Even where it was given the value that it would have had anyway.
  for (const bool preset_first : {true, false}) {
    Recipe mixed;
    if (preset_first) set_value(mixed, "preset", str("light"));
    set_value(mixed, "iters", num(200));
    set_value(mixed, "lr", 0.25);
    if (!preset_first) set_value(mixed, "preset", str("light"));
    CHECK(values(mixed) == std::vector<std::int64_t>{8, 200, 2048, 128});
    CHECK(mixed.lr == 0.25);
    for (const auto syntax : {Syntax::toml, Syntax::yaml}) {
      Recipe again = Recipe::parse(mixed.dump(syntax), syntax);
      CHECK(again == mixed);
      set_value(again, "preset", str("best"));  // a dump gives every key
      CHECK(values(again) == values(mixed));
    }
  }
  const char* texts[] = {"AutoRoundModifier: {iters: 7, preset: best}", "AutoRoundModifier: {preset: best, iters: 7}"};
  for (const char* text : texts) {
    const Recipe parsed = Recipe::parse(text, Syntax::yaml);
    CHECK(values(parsed) == std::vector<std::int64_t>{8, 7, 2048, 512});
  }
}

TEST_CASE("keys: informational ones say why nothing is lost", "[recipe]") {
  for (const auto& key : informational_keys()) {
    INFO(key.name);
    CHECK(!key.reason.empty());
    CHECK(key.is_neutral(nullptr));
  }
}

}  // namespace autoround::recipe
