// Bad recipes, by table: which code, which line and column, which words.
#include <chrono>

#include "recipe/recipe.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

namespace autoround::recipe {

using test::error_of;
using test::says;

namespace {

struct Case {
  std::string text;
  int line;
  int column;
  std::string words;
  Code code = Code::parse;
};

void check(const std::vector<Case>& cases, Syntax syntax) {
  for (const auto& c : cases) {
    INFO(c.text.substr(0, 200));
    const auto error = error_of([&] { Recipe::parse(c.text, syntax, "r.txt"); });
    INFO(error.what());
    CHECK(error.code() == c.code);
    CHECK(error.subject() == "r.txt");
    CHECK(error.line() == c.line);
    CHECK(error.column() == c.column);
    CHECK(says(error, c.words));
  }
}

std::string weights(const std::string& args) { return "AutoRoundModifier:\n  scheme:\n    weights: {" + args + "}\n"; }

template <typename Call>
std::chrono::milliseconds time_of(Call&& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
}

}  // namespace

TEST_CASE("bad recipes: unknown keys carry the nearest name and their place", "[recipe]") {
  check({{weights("num_bits: 4, group_sze: 64"), 3, 28,
          "`AutoRoundModifier.scheme.weights.group_sze`: unknown key (did you mean `group_size`?)"},
         {"AutoRoundModifier:\n  iter: 5\n", 2, 3, "did you mean `iters`?"},
         {"AutoRoundModifier: {scheme: {weight: {num_bits: 4}, format: dense}}", 1, 30, "did you mean `weights`?"},
         {"AutoRoundModifier: {scheme: {W4A61: [Linear]}}", 1, 30, "did you mean `W4A16`?"},
         {"AutoRoundModifier: {scheme: W4A61}", 1, 29, "did you mean `W4A16`?"},
         {"AutoRoundModifier: {weights.num_bits: 4}", 1, 21, "unknown key"}},
        Syntax::yaml);
  check({{"[AutoRoundModifier.scheme.weights]\nnum_bits = 4\ngroup_sze = 64\n", 3, 1, "did you mean `group_size`?"},
         {"[AutoRoundModifier]\n  iter = 5\n", 2, 3, "did you mean `iters`?"}},
        Syntax::toml);
}

TEST_CASE("bad recipes: numbers out of range", "[recipe]") {
  check({{weights("num_bits: 1, group_size: 128"), 3, 25, "found 1, wanted an integer from 2 to 8"},
         {weights("num_bits: 9"), 3, 25, "found 9"},
         {weights("num_bits: 4.5"), 3, 25, "found 4.5"},
         {weights("num_bits: four"), 3, 25, "found \"four\""},
         {weights("num_bits: 99999999999999999999"), 3, 25, "out of range"},
         {weights("group_size: 0"), 3, 27, "found 0, wanted an integer from 8 to 1024, or -1"},
         {weights("group_size: -2"), 3, 27, "found -2"},
         {weights("group_size: 3"), 3, 27, "found 3"},
         {weights("group_size: 2147483648"), 3, 27, "found 2147483648"},
         {weights("strategy: group"), 3, 14, "needs a positive group_size"},
         {weights("actorder: group, group_size: 128"), 3, 25, "g_idx"},
         {weights("actorder: true"), 3, 25, "g_idx"},
         {weights("scale_dtype: float17"), 3, 28, "wanted a dtype"},
         {weights("block_structure: [128, 0], strategy: block"), 3, 32, "both positive"},
         {weights("observer_kwargs: {a: 1}"), 3, 15, "observer"},
         {"AutoRoundModifier: {lr: .nan}", 1, 25, "found nan, wanted a finite number"},
         {"AutoRoundModifier: {lr: -1}", 1, 25, "above 0 and at most 1"},
         {"AutoRoundModifier: {lr: 1e30}", 1, 25, "above 0 and at most 1"},
         {"AutoRoundModifier: {lr: 1e999}", 1, 25, "found inf"},
         {"AutoRoundModifier: {iters: -1}", 1, 28, "found -1"},
         {"AutoRoundModifier: {iters: null}", 1, 28, "found null"},
         {"AutoRoundModifier: {nsamples: 0}", 1, 31, "found 0"},
         {"AutoRoundModifier: {batch_size: 0}", 1, 33, "found 0"}},
        Syntax::yaml);
  check({{"[AutoRoundModifier]\nlr = nan\n", 2, 6, "found nan"},
         {"[AutoRoundModifier]\niters = 9223372036854775808\n", 2, 28, "not TOML"},
         {"[AutoRoundModifier]\niters = 2026-01-01\n", 2, 9, "a date or time"},
         {"[AutoRoundModifier]\niters = 1\niters = 2\n", 3, 9, "not TOML"}},
        Syntax::toml);
}

TEST_CASE("bad recipes: shapes that are not a recipe name the place", "[recipe]") {
  check({{"", 1, 1, "empty recipe"},
         {"# nothing\n", 1, 1, "empty recipe"},
         {"- AutoRoundModifier\n", 1, 1, "wanted a table at the top"},
         {"modifiers:\n  AutoRoundModifier: {}\n", 1, 1, "`modifiers`: does not belong at the top"},
         {"quant_modifiers:\n  AutoRoundModifier: {}\n", 1, 1, "does not belong at the top"},
         {"default_stage_0:\n  modifiers: {}\n", 1, 1, "does not belong at the top"},
         {"scheme: W4A16\n", 1, 1, "does not belong at the top"},
         {"a_stage:\n  run: 1\n", 2, 3, "`a_stage.run`: a stage holds"},
         {"a_stage:\n  modifiers: [AutoRoundModifier]\n", 2, 14, "wanted a table of modifiers"},
         {"a_stage: {modifiers: {}}\n", 1, 1, "no modifier in this recipe"},
         {"a_stage: {modifiers: {GPTQModifier: {}}}\n", 1, 23,
          "no modifier of type `GPTQModifier`; there is AutoRoundModifier", Code::unsupported},
         {"GPTQModifier: {}\n", 1, 1, "no modifier of type `GPTQModifier`", Code::unsupported},
         {"a_stage: {modifiers: {AutoRoundModifier: {}}}\nAutoRoundModifier: {}\n", 2, 1, "a second AutoRoundModifier"},
         {"AutoRoundModifier: 5\n", 1, 20, "wanted a table"},
         {"AutoRoundModifier: {scheme: W4A16, config_groups: {W4A16: [Linear]}}", 1, 20,
          "both `scheme` and `config_groups`"},
         {"AutoRoundModifier: {scheme: {weights: {num_bits: 4}, targets: [Linear]}}", 1, 54, "go beside it"},
         {"AutoRoundModifier: {config_groups: {a: {weights: {num_bits: 4}}}}", 1, 40, "needs `targets`"},
         {"AutoRoundModifier: {config_groups: {a: [Linear]}}", 1, 37, "no preset scheme"},
         {"AutoRoundModifier: {config_groups: {}}", 1, 36, "wanted a table of groups"},
         {"AutoRoundModifier: {targets: ['re:(']}", 1, 30, "`re:(`: not a regular expression"}},
        Syntax::yaml);
}

TEST_CASE("bad recipes: YAML that expands, tags or hides things", "[recipe]") {
  check({{"a: &x 1\nb: *x\n", 1, 4, "an anchor", Code::unsupported},
         {"a: *x\n", 1, 4, ""},
         {"a: &x [*x]\n", 1, 4, "an anchor", Code::unsupported},
         {"a: !!python/object:os.system ls\n", 1, 4, "a tag", Code::unsupported},
         {"a: !!map {}\n", 1, 4, "a tag", Code::unsupported},
         {"AutoRoundModifier:\n\titers: 5\n", 2, 1, "a tab"},
         {"a: {<<: {b: 1}}\n", 1, 5, "a merge key", Code::unsupported},
         {"AutoRoundModifier: {}\n---\nAutoRoundModifier: {}\n", 3, 1, "a second document", Code::unsupported},
         {"AutoRoundModifier:\n  iters: 1\n  iters: 2\n", 3, 3, "`iters` is given twice"},
         {"a: [1, 2\n", 2, 1, "not YAML"},
         {"? [a]\n: 1\n", 1, 3, "a key must be a string"},
         {std::string("a: \0", 4), 1, 4, "a NUL byte"},
         {"a: 1\nb: \xff\n", 2, 4, "not UTF-8"}},
        Syntax::yaml);
}

TEST_CASE("bad recipes: bombs end at once", "[recipe]") {
  std::string laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c <= 'j'; ++c) {
    laughs += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 9; ++i) laughs += std::string(i ? ", *" : "*") + static_cast<char>(c - 1);
    laughs += "]\n";
  }
  CHECK(time_of([&] {
          CHECK(error_of([&] { Recipe::parse(laughs, Syntax::yaml); }).code() == Code::unsupported);
        }).count() < 10);

  const std::string nested = "AutoRoundModifier: " + std::string(100'000, '[');
  CHECK(time_of([&] { CHECK(error_of([&] { Recipe::parse(nested, Syntax::yaml); }).code() == Code::parse); }).count() <
        1000);
  const std::string closed = "AutoRoundModifier: " + std::string(40, '[') + std::string(40, ']');
  CHECK(says(error_of([&] { Recipe::parse(closed, Syntax::yaml); }), "nested deeper than 32"));

  const std::string big = "AutoRoundModifier: {} #" + std::string(1 << 20, 'x');
  for (const auto syntax : {Syntax::toml, Syntax::yaml})
    CHECK(says(error_of([&] { Recipe::parse(big, syntax); }), "at most 1048576"));

  std::string dotted = "[a";
  for (int i = 0; i < 400'000; ++i) dotted += ".a";
  const auto long_key = error_of([&] { Recipe::parse("\n" + dotted + "]\n", Syntax::toml); });
  CHECK(says(long_key, "a key of more than 32 parts"));
  CHECK(long_key.line() == 2);
  CHECK(error_of([&] { Recipe::parse("a = " + std::string(300, '[') + std::string(300, ']'), Syntax::toml); }).code() ==
        Code::parse);
  CHECK(error_of([&] { Recipe::parse("a = " + std::string(100'000, '['), Syntax::toml); }).code() == Code::parse);
  CHECK(says(error_of([&] { Recipe::parse("a = " + std::string(40, '[') + std::string(40, ']'), Syntax::toml); }),
             "nested deeper than 32"));
}

TEST_CASE("bad recipes: dots in strings and comments are no keys", "[recipe]") {
  const std::string dots(100, '.');
  CHECK_NOTHROW(Recipe::parse("# " + dots + "\n[AutoRoundModifier]\nignore = ['re:" + dots + "', \"a\\\"" + dots +
                                  "\", '''\n" + dots + "''']  # " + dots + "\n",
                              Syntax::toml));
}

TEST_CASE("bad recipes: load looks at the suffix", "[recipe]") {
  CHECK(error_of([] { Recipe::load("recipe.json"); }).code() == Code::invalid_argument);
  CHECK(error_of([] { Recipe::load("/nonexistent/recipe.yaml"); }).code() == Code::not_found);
}

}  // namespace autoround::recipe
