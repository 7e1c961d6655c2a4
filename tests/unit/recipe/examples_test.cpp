// Every recipe of examples/recipes loads, is valid and says what its comment says.
#include "base/file.hpp"
#include "recipe/recipe.hpp"
#include "support/catch.hpp"

namespace autoround::recipe {

namespace {

Recipe example(const std::string& name) { return Recipe::load(join_path(AUTOROUND_EXAMPLE_RECIPES, name)); }

}  // namespace

TEST_CASE("examples: all load and are valid", "[recipe]") {
  std::size_t count = 0;
  for (const auto& entry : list_directory(AUTOROUND_EXAMPLE_RECIPES)) {
    INFO(entry.name);
    CHECK_NOTHROW(example(entry.name).validate());
    ++count;
  }
  CHECK(count == 5);
}

TEST_CASE("examples: both syntaxes say the same", "[recipe]") { CHECK(example("w4a16.toml") == example("w4a16.yaml")); }

TEST_CASE("examples: content", "[recipe]") {
  CHECK(describe(*example("w4a16.toml").scheme) == "W4A16");
  CHECK(describe(*example("w4a16_asym.toml").scheme) == "int4 group 32 asym");
  CHECK(example("rtn.toml").iters == 0);
  const auto groups = example("mixed.toml").groups();
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].first == "down_proj");
  CHECK(groups[0].second.weights->num_bits == 8);
  CHECK(groups[0].second.targets == std::vector<std::string>{R"(re:.*\.down_proj$)"});
  CHECK(groups[1].second.weights->num_bits == 4);
}

}  // namespace autoround::recipe
