#include <chrono>

#include "recipe/matching.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

namespace autoround::recipe {

using test::error_of;
using test::says;

namespace {

ModuleInfo named(const std::string& name) { return {.name = name, .class_name = "Linear", .shape = {8, 8}}; }

}  // namespace

// One column of '0' and '1' for each name: what `re.match(pattern, name)` of Python 3.11 finds.
TEST_CASE("patterns: anchored at the start only, as Python's re.match", "[recipe]") {
  const std::vector<std::string> names = {"model.layers.0.self_attn.q_proj", "model.layers.10.mlp.down_proj", "lm_head",
                                          "model.layers.1.mlp.gate_proj"};
  struct Case {
    std::string pattern;
    std::string found;
  };
  const std::vector<Case> cases = {
      {R"(lm_head)", "0010"},
      {R"(lm)", "0010"},
      {R"(head)", "0000"},
      {R"(.*lm_head)", "0010"},
      {R"(.*down_proj$)", "0100"},
      {R"(down_proj)", "0000"},
      {R"(model\.layers\.\d+\.mlp)", "0101"},
      {R"(model.layers.1\.)", "0001"},
      {R"((?!lm_head).*)", "1101"},
      {R"(.*\.(q|k|v)_proj$)", "1000"},
      {R"(^model)", "1101"},
      {R"(mlp|lm_head)", "0010"},
      {R"(.*[02468]\.self_attn)", "1000"},
      {R"(model\.layers\.(?P<i>\d)(?P=i)?\.)", "1001"},
      {R"((?i)MODEL)", "1101"},
      {R"(.*layers\.([0-9]|10)\..*down)", "0100"},
      {R"()", "1111"},
      {R"(lm_head\Z)", "0010"},
      {R"(.*\bmlp\b)", "0101"},
      {R"([^m])", "0010"},
      {R"(model\.layers\.1{1,2}\.)", "0001"},
      {R"(.*proj\Z)", "1101"},
      {R"(m(?:odel)?\.)", "1101"},
      {R"((?<!x)model)", "1101"},
      {R"(\w+\.\w+\.0)", "1000"},
  };
  for (const auto& [pattern, found] : cases) {
    INFO(pattern);
    std::string ours;
    for (const auto& name : names) ours += matches("re:" + pattern, named(name)) ? '1' : '0';
    CHECK(ours == found);
  }
}

TEST_CASE("patterns: names and classes are equal or not, and bases count", "[recipe]") {
  const ModuleInfo gate{.name = "mlp.gate", .class_name = "TopKRouter", .bases = {"Linear", "Module"}, .shape = {8, 8}};
  CHECK(matches("mlp.gate", gate));
  CHECK(matches("TopKRouter", gate));
  CHECK(matches("Linear", gate));
  CHECK(!matches("linear", gate));
  CHECK(!matches("mlp", gate));
  CHECK(!matches("gate", gate));
}

TEST_CASE("patterns: a module answers to its alias too", "[recipe]") {
  const ModuleInfo head{.name = "language_model.lm_head", .alias = "lm_head", .class_name = "Linear"};
  for (const char* target : {"lm_head", "language_model.lm_head", "re:lm_head$", "re:language_model"})
    CHECK(matches(target, head));
  CHECK(!matches("re:head", head));
  CHECK(!matches("re:$", head));  // no alias is not an empty name
  CHECK(!matches("re:$", ModuleInfo{.name = "a", .class_name = "Linear"}));
}

TEST_CASE("patterns: invalid ones are refused", "[recipe]") {
  for (const std::string bad : {"re:(", "re:[a", "re:*", "re:a{2,1}", "re:(?P<a>x)(?P<a>y)", "re:\\", "", "re:\xff"}) {
    INFO(bad);
    const auto error = error_of([&] { check_target(bad); });
    CHECK(error.code() == Code::parse);
    CHECK(error.subject() == bad);
  }
  CHECK(says(error_of([] { check_target("re:ab("); }), "at offset 3"));
  CHECK_THROWS_AS(check_target("re:" + std::string(5000, 'a')), Error);
}

TEST_CASE("patterns: catastrophic backtracking ends in an error, soon", "[recipe]") {
  const ModuleInfo module = named(std::string(60, 'a') + "!");
  for (const std::string hostile : {"re:(a+)+$", "re:(a|a)*$", "re:(a|aa)+$", "re:(.*)*(.*)*(.*)*x", "re:((a*)*)*b"}) {
    INFO(hostile);
    const auto start = std::chrono::steady_clock::now();
    bool found = false;  // the matcher may see through some of them and say so
    try {
      found = matches(hostile, module);
    } catch (const Error& error) {
      CHECK(error.code() == Code::parse);
      CHECK(error.subject() == hostile);
      CHECK(says(error, "match limit"));
    }
    CHECK(!found);
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::milliseconds(500));
  }
  CHECK(error_of([&] { matches("re:(a|a)*$", module); }).code() == Code::parse);
}

}  // namespace autoround::recipe
