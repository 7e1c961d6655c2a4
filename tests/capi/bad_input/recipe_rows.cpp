// Rows 54 to 61: recipes, and the folder that the result goes to.
#include <limits>

#include "capi/bad_input/rows.hpp"

namespace bad_input {
namespace {

using std::string_literals::operator""s;
namespace fs = std::filesystem;

/// A recipe in a file of this name. Its syntax is the suffix.
Row file(int number, std::string name, std::string file_name, std::string text, std::vector<std::string> words,
         autoround_status status = AUTOROUND_ERROR_PARSE) {
  words.push_back(file_name);
  return row(
      number, std::move(name), [=](Scene& s) { s.write_recipe(file_name, text); }, load_recipe, status,
      std::move(words));
}

Row yaml(int number, const std::string& text, std::vector<std::string> words,
         autoround_status status = AUTOROUND_ERROR_PARSE) {
  return file(number, text.substr(0, 60), "recipe.yaml", text, std::move(words), status);
}

/// One key of the good recipe is followed by another, or has another value.
Row edited(int number, const std::string& from, const std::string& to, std::vector<std::string> words,
           void (*call)(Scene&), autoround_status status) {
  return row(number, to, [=](Scene& s) { s.replace(s.recipe, from, to); }, call, status, std::move(words));
}

template <class Setter, class Value>
Row setter(int number, std::string name, Setter set, const char* key, Value value, std::vector<std::string> words) {
  words.push_back(key);
  const auto call = [=](Scene&) {
    const host::Recipe recipe = host::make<host::Recipe>(autoround_recipe_new);
    attempt(set, recipe.get(), key, value);
  };
  return row(number, std::move(name), [](Scene&) {}, call, AUTOROUND_ERROR_INVALID_ARGUMENT, std::move(words));
}

void add_keys(std::vector<Row>& rows) {
  rows.push_back(edited(54, "group_size", "group_sze", {"recipe.yaml (line 3)", "`group_size`"}, load_recipe,
                        AUTOROUND_ERROR_PARSE));
  rows.push_back(file(54, "a key of TOML", "recipe.toml", "[AutoRoundModifier]\nscheme = \"W4A16\"\nitres = 4\n",
                      {"(line 3)", "did you mean `iters`?"}));
  rows.push_back(setter(54, "a key of a setter", autoround_recipe_set_int, "weights.group_sze", int64_t{32},
                        {"`weights.group_size`"}));
}

void add_numbers(std::vector<Row>& rows) {
  for (const char* bits : {"1", "9", "4.5", "four"})
    rows.push_back(edited(55, "num_bits: 4", "num_bits: "s + bits,
                          {"recipe.yaml (line 3)", "num_bits", bits, "an integer from 2 to 8"}, load_recipe,
                          AUTOROUND_ERROR_PARSE));
  for (const char* size : {"0", "-2", "3", "2147483648"})
    rows.push_back(edited(55, "group_size: 32", "group_size: "s + size,
                          {"recipe.yaml (line 3)", "group_size", "found "s + size, "an integer from 8 to 1024, or -1"},
                          load_recipe, AUTOROUND_ERROR_PARSE));
  for (const int64_t bits : {1, 9})
    rows.push_back(
        setter(55, "bits " + std::to_string(bits), autoround_recipe_set_int, "weights.num_bits", bits, {"2 to 8"}));
  for (const int64_t size : {int64_t{0}, int64_t{-2}, int64_t{3}, int64_t{1} << 31})
    rows.push_back(setter(55, "group size " + std::to_string(size), autoround_recipe_set_int, "weights.group_size",
                          size, {"found " + std::to_string(size)}));
  for (const auto& [key, value] :
       {std::pair("lr", ".nan"), std::pair("lr", "-1"), std::pair("lr", "1e30"), std::pair("iters", "-1"),
        std::pair("nsamples", "0"), std::pair("batch_size", "0")}) {
    const std::string line = std::string(key) + ": " + value;
    rows.push_back(yaml(56, "AutoRoundModifier:\n  scheme: W4A16\n  " + line + "\n", {"(line 3)", key, "found"}));
  }
  for (const double rate : {std::numeric_limits<double>::quiet_NaN(), -1.0, 1e30})
    rows.push_back(
        setter(56, "lr " + std::to_string(rate), autoround_recipe_set_double, "lr", rate, {"found", "wanted"}));
  for (const auto& [key, value] :
       {std::pair("iters", int64_t{-1}), std::pair("nsamples", int64_t{0}), std::pair("batch_size", int64_t{0})})
    rows.push_back(setter(56, std::string(key) + " " + std::to_string(value), autoround_recipe_set_int, key, value,
                          {"found " + std::to_string(value), "wanted"}));
}

std::string billion_laughs() {
  std::string text = "a: &a [x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c <= 'j'; ++c) {
    text += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 9; ++i) text += std::string(i ? ", *" : "*") + static_cast<char>(c - 1);
    text += "]\n";
  }
  return text;
}

void add_syntax(std::vector<Row>& rows) {
  std::vector<Row> bombs = {
      yaml(57, billion_laughs(), {"(line 1)", "an anchor"}, AUTOROUND_ERROR_UNSUPPORTED),
      yaml(57, "AutoRoundModifier: &x [*x]\n", {"(line 1)", "an anchor"}, AUTOROUND_ERROR_UNSUPPORTED),
      yaml(57, "AutoRoundModifier: !!python/object:os.system ls\n", {"(line 1)", "a tag", "python/object"},
           AUTOROUND_ERROR_UNSUPPORTED),
      yaml(57, "AutoRoundModifier:\n\titers: 5\n", {"(line 2)", "a tab"}),
      yaml(57, "AutoRoundModifier: {}\n---\nAutoRoundModifier: {}\n", {"(line 3)", "a second document"},
           AUTOROUND_ERROR_UNSUPPORTED),
      yaml(57, "AutoRoundModifier: {<<: {iters: 1}}\n", {"(line 1)", "a merge key"}, AUTOROUND_ERROR_UNSUPPORTED),
      yaml(57, "AutoRoundModifier: " + std::string(100'000, '['), {"recipe.yaml (line 1)"}),
  };
  for (Row& bomb : bombs) bomb.seconds = 0.01;
  bombs.back().seconds = 1.0;  // a list a hundred thousand deep costs the parser more than its first line
  rows.insert(rows.end(), bombs.begin(), bombs.end());

  rows.push_back(file(58, "300 deep", "recipe.toml",
                      "AutoRoundModifier = " + std::string(300, '[') + std::string(300, ']') + "\n", {"(line 1)"}));
  rows.push_back(
      file(58, "a key twice", "recipe.toml", "[AutoRoundModifier]\niters = 1\niters = 2\n", {"(line 3)", "iters"}));
  rows.push_back(
      file(58, "a date", "recipe.toml", "[AutoRoundModifier]\niters = 2026-01-01\n", {"(line 2)", "a date"}));
}

void add_targets(std::vector<Row>& rows) {
  const std::string ignore = "ignore: [lm_head]";
  rows.push_back(edited(59, ignore, "ignore: ['re:(']", {"recipe.yaml (line 4)", "`re:(`", "not a regular expression"},
                        load_recipe, AUTOROUND_ERROR_PARSE));
  Row slow = edited(59, ignore, "ignore: ['re:([a-z0-9_.]+)*[!?]']", {"re:([a-z0-9_.]+)*[!?]", "match limit"},
                    validate_recipe, AUTOROUND_ERROR_PARSE);
  slow.seconds = 0.5;
  rows.push_back(slow);
  rows.push_back(edited(59, ignore, "targets: ['re:.*q_prj']", {"`re:.*q_prj` matched no module"}, validate_recipe,
                        AUTOROUND_ERROR_INVALID_ARGUMENT));

  rows.push_back(edited(60, ignore, "config_groups: {W8A16: [Linear]}",
                        {"recipe.yaml", "both `scheme` and `config_groups`"}, load_recipe, AUTOROUND_ERROR_PARSE));
  rows.push_back(
      row(60, "two schemes for one target",
          [](Scene& s) {
            s.write_recipe("recipe.yaml", "AutoRoundModifier:\n  config_groups: {W4A16: [Linear], W8A16: [Linear]}\n");
          },
          validate_recipe, AUTOROUND_ERROR_INVALID_ARGUMENT, {"config_groups.W8A16", "`Linear` is a target twice"}));
  rows.push_back(row(
      60, "numbers that are not built in",
      [](Scene& s) {
        s.write_recipe("recipe.yaml",
                       "AutoRoundModifier:\n  ignore: [lm_head]\n  config_groups:\n    all:\n      targets: [Linear]\n"
                       "      weights: {num_bits: 8, type: float, strategy: group, group_size: 32}\n");
      },
      quantize, AUTOROUND_ERROR_UNSUPPORTED, {"weights", "FP8", "cannot be tuned"}));
  rows.push_back(edited(60, "group_size: 32}", "group_size: 32}\n    format: naive-quantized",
                        {"compressed-tensors", "`naive-quantized`"}, quantize, AUTOROUND_ERROR_UNSUPPORTED));
  rows.push_back(row(
      60, "a scheme that the format has for other layers only",
      [](Scene& s) {
        s.write_recipe(
            "recipe.yaml",
            "AutoRoundModifier:\n"
            "  ignore: [lm_head]\n"
            "  config_groups:\n"
            "    a: {targets: [Linear], weights: {num_bits: 4, group_size: 32}}\n"
            "    b: {targets: [model.embed_tokens], weights: {num_bits: 4, group_size: 32, symmetric: false}}\n");
      },
      quantize, AUTOROUND_ERROR_INVALID_ARGUMENT, {"compressed-tensors", "`model.embed_tokens`", "must be symmetric"}));
  rows.push_back(edited(60, ignore, "ignore: [lm_head, 're:.*v_proj']",
                        {"compressed-tensors", "`model.layers.0.self_attn.v_proj`", "one scheme"}, quantize,
                        AUTOROUND_ERROR_INVALID_ARGUMENT));
}

void add_outputs(std::vector<Row>& rows) {
  const auto output = [&](std::string name, std::function<void(Scene&)> choose) {
    rows.push_back(row(61, std::move(name), std::move(choose), quantize, AUTOROUND_ERROR_INVALID_ARGUMENT,
                       {"output directory", "the model's own"}));
  };
  output("into the model's folder", [](Scene& s) { s.output = s.model; });
  output("inside the model's folder", [](Scene& s) { s.output = s.model + "/a/b"; });
  output("into the model's folder through a link", [](Scene& s) { fs::create_directory_symlink(s.model, s.output); });
  output("inside the model's folder through a link", [](Scene& s) {
    fs::create_directory_symlink(s.model, s.folder / "link");
    s.output = s.folder / "link/out";
  });
}

}  // namespace

std::vector<Row> recipe_rows() {
  std::vector<Row> rows;
  add_keys(rows);
  add_numbers(rows);
  add_syntax(rows);
  add_targets(rows);
  add_outputs(rows);
  return rows;
}

}  // namespace bad_input
