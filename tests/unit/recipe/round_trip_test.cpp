// parse(dump(x)) == x, in both syntaxes, over many recipes.
#include <random>

#include "recipe/keys.hpp"
#include "recipe/recipe.hpp"
#include "support/catch.hpp"

namespace autoround::recipe {

namespace {

const std::vector<std::string>& strange_strings() {
  static const std::vector<std::string> all = {"lm_head",
                                               "re:.*\\.down_proj$",
                                               "a \"quoted\" 'name'",
                                               "line\nbreak\r\n\ttab",
                                               "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80",
                                               "null",
                                               "~",
                                               "true",
                                               "No",
                                               "123",
                                               "0x1F",
                                               "1e5",
                                               ".inf",
                                               "<<",
                                               "=",
                                               "- dash",
                                               "# comment",
                                               "a: b",
                                               "a #b",
                                               "{x}",
                                               "[y]",
                                               "&anchor",
                                               "*alias",
                                               "!tag",
                                               "%dir",
                                               "@at",
                                               "`tick`",
                                               " leading",
                                               "trailing ",
                                               "\\",
                                               "\x01\x1f\x7f",
                                               "\xC2\x85\xE2\x80\xA8",
                                               "\xEF\xBB\xBF"
                                               "bom",
                                               "?",
                                               "-",
                                               "'",
                                               "\"",
                                               "key.with.dots",
                                               "---",
                                               "...",
                                               std::string("nul\0inside", 10)};
  return all;
}

class RandomRecipe {
 public:
  explicit RandomRecipe(unsigned seed) : random_(seed) {}

  Recipe make() {
    Recipe recipe;
    const char* const presets[] = {"light", "default", "best"};
    if (flip()) set_value(recipe, "preset", std::string(presets[below(3)]));
    if (flip()) set_value(recipe, "iters", below(1000));
    recipe.seed = below(1 << 30);
    if (flip()) recipe.lr = std::uniform_real_distribution<double>(1e-6, 1)(random_);
    if (flip()) recipe.minmax_lr = 1.0 / static_cast<double>(1 + below(1000));
    recipe.momentum = std::uniform_real_distribution<double>(0, 0.999)(random_);
    recipe.dynamic_max_gap = below(3) - 1;
    recipe.enable_torch_compile = flip();
    recipe.not_use_best_mse = flip();
    recipe.enable_alg_ext = flip();
    recipe.disable_opt_rtn = flip();
    if (flip()) recipe.scale_dtype = "bfloat16";
    if (flip()) recipe.on_nan = OnNan::rtn;
    recipe.ignore = strings(false);
    for (std::int64_t i = 0, n = below(3); i < n; ++i)
      recipe.layers.emplace_back(string() + std::to_string(i), scheme());
    if (flip()) recipe.kv_cache_scheme = preset_scheme("FP8").weights;
    if (flip()) {
      recipe.scheme = scheme();
      recipe.targets = strings(true);
    } else {
      for (std::int64_t i = 0, n = 1 + below(4); i < n; ++i) {
        auto group = scheme();
        group.targets = strings(true);
        const bool by_preset = !group.preset.empty();
        const std::string name = by_preset ? group.preset : string() + std::to_string(i);
        recipe.config_groups.emplace_back(name, std::move(group));
        if (by_preset) break;  // one group of a preset's name
      }
    }
    return recipe;
  }

 private:
  std::int64_t below(std::int64_t n) { return std::uniform_int_distribution<std::int64_t>(0, n - 1)(random_); }
  bool flip() { return below(2) == 0; }

  std::string string() {
    return strange_strings()[static_cast<std::size_t>(below(static_cast<std::int64_t>(strange_strings().size())))];
  }

  std::vector<std::string> strings(bool some) {
    std::vector<std::string> out;
    for (std::int64_t i = 0, n = below(4) + (some ? 1 : 0); i < n; ++i) out.push_back(string());
    return out;
  }

  QuantizationScheme scheme() {
    const auto& names = preset_names();
    auto scheme = preset_scheme(names[static_cast<std::size_t>(below(static_cast<std::int64_t>(names.size())))]);
    if (flip()) return scheme;
    scheme.preset.clear();
    if (flip()) scheme.format = "dense";
    if (scheme.weights && flip()) scheme.weights->actorder = "weight";
    if (scheme.weights && flip()) scheme.weights->observer = string();
    if (scheme.weights && flip()) scheme.weights->zp_dtype = "torch.int8";
    if (scheme.weights && flip()) scheme.output_activations = scheme.input_activations;
    return scheme;
  }

  std::mt19937 random_;
};

}  // namespace

TEST_CASE("round trip: random recipes survive both syntaxes", "[recipe]") {
  for (unsigned seed = 0; seed < 300; ++seed) {
    const Recipe recipe = RandomRecipe(seed).make();
    for (const auto syntax : {Syntax::toml, Syntax::yaml}) {
      const std::string text = recipe.dump(syntax);
      INFO("seed " << seed << "\n" << text);
      REQUIRE(Recipe::parse(text, syntax) == recipe);
    }
  }
}

TEST_CASE("round trip: each strange string", "[recipe]") {
  for (const auto& text : strange_strings()) {
    Recipe recipe;
    recipe.ignore = {text};
    QuantizationScheme group = preset_scheme("W4A16");
    group.preset.clear();
    group.targets = {text};
    recipe.config_groups = {{text, group}};
    for (const auto syntax : {Syntax::toml, Syntax::yaml}) {
      const std::string dumped = recipe.dump(syntax);
      INFO(dumped);
      CHECK(Recipe::parse(dumped, syntax) == recipe);
    }
  }
}

TEST_CASE("round trip: the YAML has the shape that llm-compressor writes", "[recipe]") {
  Recipe recipe;
  set_value(recipe, "scheme", std::string("W4A16"));
  set_value(recipe, "ignore", std::string("lm_head"));
  const std::string text = recipe.dump(Syntax::yaml);
  CHECK(text.rfind("default_stage:\n  default_modifiers:\n    AutoRoundModifier:\n      scheme: W4A16\n      targets: "
                   "[Linear]\n      "
                   "ignore: [lm_head]\n",
                   0) == 0);
  CHECK(text.find("      iters: 200\n") != std::string::npos);
}

}  // namespace autoround::recipe
