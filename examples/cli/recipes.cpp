// autoround recipe check | convert, autoround schemes, formats, version; and the recipe options of other commands.
#include <algorithm>
#include <charconv>
#include <cstdio>

#include "commands.hpp"
#include "json_line.hpp"

namespace cli {
namespace {

struct Setting {
  std::string key, value;
};

std::vector<Setting> split(const std::vector<std::string>& settings) {
  std::vector<Setting> all;
  for (const std::string& setting : settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos)
      throw ApiError(AUTOROUND_ERROR_INVALID_ARGUMENT, "--set wants key=value, got " + setting);
    all.push_back({setting.substr(0, equals), setting.substr(equals + 1)});
  }
  return all;
}

/// The value with the type that the text has: integer, number, boolean, otherwise text.
void set_value(const Recipe& recipe, const std::string& key, const std::string& value) {
  const char *begin = value.data(), *end = begin + value.size();
  int64_t integer = 0;
  double number = 0.0;
  if (value == "true" || value == "false") {
    call(autoround_recipe_set_bool, recipe.get(), key.c_str(), int32_t{value == "true"});
  } else if (auto parsed = std::from_chars(begin, end, integer); parsed.ec == std::errc() && parsed.ptr == end) {
    call(autoround_recipe_set_int, recipe.get(), key.c_str(), integer);
  } else if (auto real = std::from_chars(begin, end, number); real.ec == std::errc() && real.ptr == end) {
    call(autoround_recipe_set_double, recipe.get(), key.c_str(), number);
  } else {
    call(autoround_recipe_set_string, recipe.get(), key.c_str(), value.c_str());
  }
}

std::string keys_help() {
  std::string text = "Keys of --set:\n";
  for (std::size_t i = 0; i < autoround_recipe_key_count(); ++i)
    text += "  " + std::string(autoround_recipe_key_name(i)) + ": " + autoround_recipe_key_help(i) + "\n";
  return text;
}

void print_list(const Common& common, std::size_t (*count)(), const char* (*name)(std::size_t)) {
  auto names = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < count(); ++i) names.push_back(name(i));
  if (common.json) return print_line(names);
  for (const auto& text : names) std::printf("%s\n", text.get<std::string>().c_str());
}

}  // namespace

void RecipeArguments::add_to(CLI::App& command) {
  auto* file_option = command.add_option("--recipe", file, "recipe file, .toml or .yaml");
  command.add_option("--scheme", scheme, "preset scheme, e.g. W4A16 (see `autoround schemes`)")->excludes(file_option);
  command.add_option("--group-size", group_size, "columns that share a scale; -1: one a row");
  command.add_flag("--asym", asymmetric, "asymmetric weights, with zero points");
  command.add_option("--ignore", ignore, "modules to leave alone; default without --recipe: lm_head")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--preset", preset, "how long to tune and on how much: light, default or best");
  command.add_option("--iters", iters, "tuning steps a block; 0: round to nearest");
  command.add_option("--nsamples", nsamples, "calibration samples");
  command.add_option("--seqlen", seqlen, "tokens of a sample");
  command.add_option("--batch-size", batch_size, "samples a step");
  command
      .add_option("--set", settings, "any recipe key: key=value, repeatable; the first targets= replaces the recipe's")
      ->allow_extra_args(false);
  command.footer([] { return keys_help(); });
}

bool RecipeArguments::given() const {
  return !file.empty() || !scheme.empty() || !preset.empty() || group_size || iters || nsamples || batch_size ||
         seqlen || asymmetric || !ignore.empty() || !settings.empty();
}

Recipe RecipeArguments::build() const {
  Recipe recipe = file.empty() ? make<Recipe>(autoround_recipe_new) : make<Recipe>(autoround_recipe_load, file.c_str());
  const auto set_int = [&](const char* key, std::optional<long long> value) {
    if (value) call(autoround_recipe_set_int, recipe.get(), key, static_cast<int64_t>(*value));
  };
  const std::vector<Setting> keys = split(settings);
  const auto sets = [&](const char* key) {
    return std::any_of(keys.begin(), keys.end(), [&](const Setting& setting) { return setting.key == key; });
  };
  if (file.empty()) {
    call(autoround_recipe_set_string, recipe.get(), "scheme", scheme.empty() ? "W4A16" : scheme.c_str());
    if (ignore.empty() && !sets("ignore")) call(autoround_recipe_append, recipe.get(), "ignore", "lm_head");
  }
  set_int("weights.group_size", group_size);
  if (asymmetric) call(autoround_recipe_set_bool, recipe.get(), "weights.symmetric", int32_t{0});
  for (const std::string& name : ignore) call(autoround_recipe_append, recipe.get(), "ignore", name.c_str());
  if (!preset.empty()) call(autoround_recipe_set_string, recipe.get(), "preset", preset.c_str());
  set_int("iters", iters);
  set_int("nsamples", nsamples);
  set_int("seqlen", seqlen);
  set_int("batch_size", batch_size);
  bool retargeted = false;
  for (const auto& [key, value] : keys) {
    if (key == "ignore" || (retargeted && key == "targets")) {
      call(autoround_recipe_append, recipe.get(), key.c_str(), value.c_str());
    } else if (key == "targets") {  // Linear, or the file's: beside them it could not restrict
      call(autoround_recipe_set_string, recipe.get(), key.c_str(), value.c_str());
      retargeted = true;
    } else {
      set_value(recipe, key, value);
    }
  }
  return recipe;
}

void add_recipe(CLI::App& app, const Common& common) {
  struct Arguments {
    std::string file, model, syntax;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("recipe", "check or convert a recipe file");
  command->require_subcommand(1);

  CLI::App* check = command->add_subcommand("check", "say whether a recipe is right");
  check->add_option("FILE", arguments->file)->required();
  check->add_option("--model", arguments->model, "also check that its targets and groups fit this model");
  check->callback([arguments, &common] {
    const auto recipe = make<Recipe>(autoround_recipe_load, arguments->file.c_str());
    Model model;
    if (!arguments->model.empty())
      model = make<Model>(autoround_model_open, static_cast<autoround_context*>(nullptr), arguments->model.c_str(),
                          static_cast<const autoround_options*>(nullptr));
    call(autoround_recipe_validate, recipe.get(), model.get());
    if (common.json)
      print_line({{"recipe", arguments->file}, {"ok", true}});
    else
      std::printf("%s: ok\n", arguments->file.c_str());
  });

  CLI::App* convert = command->add_subcommand("convert", "print a recipe in the other syntax");
  convert->add_option("FILE", arguments->file)->required();
  convert->add_option("--to", arguments->syntax, "toml or yaml")->required();
  convert->callback([arguments] {
    const auto recipe = make<Recipe>(autoround_recipe_load, arguments->file.c_str());
    std::fputs(make<Text>(autoround_recipe_dump, recipe.get(), arguments->syntax.c_str()).get(), stdout);
  });
}

void add_lists(CLI::App& app, const Common& common) {
  app.add_subcommand("schemes", "preset schemes")->callback([&common] {
    print_list(common, autoround_scheme_count, autoround_scheme_name);
  });
  app.add_subcommand("formats", "output formats")->callback([&common] {
    print_list(common, autoround_format_count, autoround_format_name);
  });
  app.add_subcommand("version", "version and build")->callback([&common] {
    if (common.json)
      std::printf("%s\n", autoround_build_info());
    else
      std::printf("autoround %s\n%s\n", autoround_version_string(), autoround_build_info());
  });
}

}  // namespace cli
