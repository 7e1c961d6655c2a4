// The shapes a recipe may have, and what its values mean.
#include "recipe/recipe.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

namespace autoround::recipe {

using test::error_of;
using test::says;

namespace {

Recipe yaml(const std::string& text) { return Recipe::parse(text, Syntax::yaml); }
Recipe toml(const std::string& text) { return Recipe::parse(text, Syntax::toml); }

}  // namespace

TEST_CASE("shapes: a stage, named modifiers, flow style, bare, and TOML are one recipe", "[recipe]") {
  const Recipe expected = yaml("AutoRoundModifier: {scheme: W4A16, iters: 7}");
  CHECK(yaml("test_stage:\n  modifiers:\n    AutoRoundModifier:\n      scheme: W4A16\n      iters: 7\n") == expected);
  CHECK(yaml("default_stage:\n  quant_modifiers:\n    AutoRoundModifier: {scheme: w4a16, iters: 7}\n") == expected);
  CHECK(yaml(R"({"a_stage": {"modifiers": {"AutoRoundModifier": {"scheme": "W4A16", "iters": 7}}}})") == expected);
  CHECK(toml("[test_stage.modifiers.AutoRoundModifier]\nscheme = 'W4A16'\niters = 7\n") == expected);
  CHECK(toml("AutoRoundModifier = {scheme = \"W4A16\", iters = 7}\n") == expected);
  CHECK(toml("\xEF\xBB\xBF[AutoRoundModifier]\r\nscheme = 'W4A16'\r\niters = 7\r\n") == expected);
  CHECK(expected.iters == 7);
  CHECK(expected.batch_size == Recipe{}.batch_size);
}

TEST_CASE("shapes: config groups keep their order in both syntaxes", "[recipe]") {
  const Recipe a = yaml(R"(
AutoRoundModifier:
  config_groups:
    zeta:
      targets: ["re:.*down_proj"]
      input_activations: null
      output_activations: null
      weights: {num_bits: 8, type: "int", symmetric: true, strategy: group, group_size: 32, observer_kwargs: {}}
    W4A16: [Linear]
)");
  const Recipe b = toml(R"(
[AutoRoundModifier.config_groups.zeta]
targets = ["re:.*down_proj"]
[AutoRoundModifier.config_groups.zeta.weights]
num_bits = 8
group_size = 32
[AutoRoundModifier.config_groups]
W4A16 = ["Linear"]
)");
  REQUIRE(a.config_groups.size() == 2);
  CHECK(a.config_groups[0].first == "zeta");
  CHECK(a.config_groups[1].second.preset == "W4A16");
  CHECK(a == b);
  CHECK_NOTHROW(a.validate());
}

TEST_CASE("shapes: scheme by name, by table, by preset and targets", "[recipe]") {
  const Recipe table =
      yaml("AutoRoundModifier: {scheme: {weights: {num_bits: 3, group_size: -1, symmetric: false}}, targets: lm_head}");
  CHECK(describe(*table.scheme) == "int3 channel asym");
  CHECK(table.targets == std::vector<std::string>{"lm_head"});
  const Recipe by_preset = yaml("AutoRoundModifier: {scheme: {W4A16: [Linear], w8a16: ['re:.*down_proj']}}");
  CHECK(!by_preset.scheme);
  REQUIRE(by_preset.groups().size() == 2);
  CHECK(by_preset.groups()[1].second.weights->num_bits == 8);
  CHECK(yaml("AutoRoundModifier: {scheme: {weights: {}}}").scheme->weights->strategy == Strategy::tensor);
  CHECK(yaml("AutoRoundModifier: {scheme: FP8_BLOCK}") == yaml("AutoRoundModifier: {scheme: fp8_block}"));
  const Recipe block =
      yaml("AutoRoundModifier: {scheme: {weights: {type: float, strategy: block, block_structure: [64, 128]}}}");
  CHECK((*block.scheme->weights->block_structure)[0] == 64);
}

TEST_CASE("shapes: YAML types are those of the core schema", "[recipe]") {
  CHECK(yaml("AutoRoundModifier: {lr: 5e-3}").lr == 0.005);
  CHECK(yaml("AutoRoundModifier: {lr: .5}").lr == 0.5);
  CHECK(yaml("AutoRoundModifier: {lr: 1}").lr == 1.0);
  CHECK(yaml("AutoRoundModifier: {lr: null}").lr == std::nullopt);
  CHECK(yaml("AutoRoundModifier: {lr: ~}").lr == std::nullopt);
  CHECK(yaml("AutoRoundModifier: {iters: 0x10, seed: 0o17}").iters == 16);
  CHECK(yaml("AutoRoundModifier: {enable_minmax_tuning: FALSE}").enable_minmax_tuning == false);
  CHECK(yaml("AutoRoundModifier: {ignore: ['1', \"true\"]}").ignore == std::vector<std::string>{"1", "true"});
  CHECK(yaml("AutoRoundModifier: {on_nan: rtn, scale_dtype: torch.float16}").on_nan == OnNan::rtn);
  CHECK(says(error_of([] { yaml("AutoRoundModifier: {ignore: [1]}"); }), "wanted a list of strings"));
  CHECK(says(error_of([] { yaml("AutoRoundModifier: {enable_minmax_tuning: yes}"); }), "wanted true or false"));
  CHECK(says(error_of([] { yaml("AutoRoundModifier: {iters: '5'}"); }), "found \"5\", wanted an integer"));
}

TEST_CASE("shapes: fields of Python recipes that change nothing are accepted at their neutral values", "[recipe]") {
  const Recipe plain = yaml("AutoRoundModifier: {scheme: W4A16}");
  CHECK(yaml("AutoRoundModifier: {scheme: W4A16, index: null, group: null, start: null, end: null, update: null, "
             "requires_calibration_data: true, device_ids: null, disable_opt_rtn: false, bypass_divisibility_checks: "
             "false, "
             "observer: {weights: minmax}, weight_observer: minmax, input_observer: null, output_observer: null, "
             "config_groups: null, kv_cache_scheme: null}") == plain);
  CHECK(says(error_of([] { yaml("AutoRoundModifier: {bypass_divisibility_checks: true}"); }), "cannot be honoured"));
  CHECK(says(error_of([] { yaml("AutoRoundModifier: {start: 3}"); }), "cannot be honoured"));
}

TEST_CASE("shapes: the recipe that llm-compressor writes", "[recipe]") {
  const Recipe recipe = yaml(R"(default_stage:
  default_modifiers:
    AutoRoundModifier:
      targets: [Linear]
      ignore: [lm_head]
      scheme: W4A16
      bypass_divisibility_checks: false
      requires_calibration_data: true
      iters: 200
      enable_torch_compile: true
      batch_size: 8
      disable_opt_rtn: false
)");
  CHECK(describe(*recipe.scheme) == "W4A16");
  CHECK(recipe.ignore == std::vector<std::string>{"lm_head"});
}

TEST_CASE("shapes: validate needs exactly one of scheme and config_groups", "[recipe]") {
  CHECK(error_of([] { Recipe{}.validate(); }).subject() == "scheme");
  Recipe both = yaml("AutoRoundModifier: {config_groups: {W4A16: [Linear]}}");
  CHECK_NOTHROW(both.validate());
  both.scheme = preset_scheme("W4A16");
  CHECK(error_of([&] { both.validate(); }).code() == Code::invalid_argument);
}

TEST_CASE("shapes: validate refuses overrides that conflict", "[recipe]") {
  const auto error =
      error_of([] { yaml("AutoRoundModifier: {config_groups: {W4A16: [lm_head], W8A16: [lm_head]}}").validate(); });
  CHECK(error.code() == Code::invalid_argument);
  CHECK(error.subject() == "config_groups.W8A16.targets");
  CHECK(says(error, "`lm_head` is a target twice"));
  CHECK(error_of([] {
          yaml("AutoRoundModifier: {targets: [lm_head], config_groups: {W4A16: [Linear]}}").validate();
        }).subject() == "targets");
}

}  // namespace autoround::recipe
