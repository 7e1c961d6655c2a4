// autoround recipe check | convert, autoround schemes, formats, version; and the recipe options of other commands.
#include <charconv>
#include <cstdio>

#include "commands.hpp"

namespace cli {
namespace {

/// key=value with the type that the text has: integer, number, boolean, otherwise text; a key that holds a list grows.
void apply_setting(const Recipe& recipe, const std::string& setting) {
  const std::size_t equals = setting.find('=');
  if (equals == std::string::npos)
    throw ApiError(AUTOROUND_ERROR_INVALID_ARGUMENT, "--set wants key=value, got " + setting);
  const std::string key = setting.substr(0, equals), value = setting.substr(equals + 1);
  const char *begin = value.data(), *end = begin + value.size();
  int64_t integer = 0;
  double number = 0.0;
  if (value == "true" || value == "false") {
    call(autoround_recipe_set_bool, recipe.get(), key.c_str(), int32_t{value == "true"});
  } else if (auto parsed = std::from_chars(begin, end, integer); parsed.ec == std::errc() && parsed.ptr == end) {
    call(autoround_recipe_set_int, recipe.get(), key.c_str(), integer);
  } else if (auto real = std::from_chars(begin, end, number); real.ec == std::errc() && real.ptr == end) {
    call(autoround_recipe_set_double, recipe.get(), key.c_str(), number);
  } else if (key == "ignore" || key == "targets") {
    call(autoround_recipe_append, recipe.get(), key.c_str(), value.c_str());
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

void print_list(std::size_t (*count)(), const char* (*name)(std::size_t)) {
  for (std::size_t i = 0; i < count(); ++i) std::printf("%s\n", name(i));
}

}  // namespace

void RecipeArguments::add_to(CLI::App& command) {
  auto* file_option = command.add_option("--recipe", file, "recipe file, .toml or .yaml");
  command.add_option("--scheme", scheme, "preset scheme, e.g. W4A16 (see `autoround schemes`)")->excludes(file_option);
  command.add_option("--group-size", group_size, "columns that share a scale; -1: one a row");
  command.add_flag("--asym", asymmetric, "asymmetric weights, with zero points");
  command.add_option("--ignore", ignore, "modules to leave alone; default with --scheme: lm_head")->delimiter(',');
  command.add_option("--preset", preset, "how long to tune and on how much: light, default or best");
  command.add_option("--iters", iters, "tuning steps a block; 0: round to nearest");
  command.add_option("--nsamples", nsamples, "calibration samples");
  command.add_option("--seqlen", seqlen, "tokens of a sample");
  command.add_option("--batch-size", batch_size, "samples a step");
  command.add_option("--set", settings, "any recipe key: key=value, repeatable");
  command.footer([] { return keys_help(); });
}

Recipe RecipeArguments::build() const {
  Recipe recipe = file.empty() ? make<Recipe>(autoround_recipe_new) : make<Recipe>(autoround_recipe_load, file.c_str());
  const auto set_int = [&](const char* key, long long value) {
    call(autoround_recipe_set_int, recipe.get(), key, static_cast<int64_t>(value));
  };
  if (file.empty()) {
    call(autoround_recipe_set_string, recipe.get(), "scheme", scheme.empty() ? "W4A16" : scheme.c_str());
    if (ignore.empty()) call(autoround_recipe_append, recipe.get(), "ignore", "lm_head");
  }
  if (group_size != 0) set_int("weights.group_size", group_size);
  if (asymmetric) call(autoround_recipe_set_bool, recipe.get(), "weights.symmetric", int32_t{0});
  for (const std::string& name : ignore) call(autoround_recipe_append, recipe.get(), "ignore", name.c_str());
  if (!preset.empty()) call(autoround_recipe_set_string, recipe.get(), "preset", preset.c_str());
  if (iters >= 0) set_int("iters", iters);
  if (nsamples >= 0) set_int("nsamples", nsamples);
  if (seqlen >= 0) set_int("seqlen", seqlen);
  if (batch_size >= 0) set_int("batch_size", batch_size);
  for (const std::string& setting : settings) apply_setting(recipe, setting);
  return recipe;
}

void add_recipe(CLI::App& app) {
  struct Arguments {
    std::string file, model, syntax;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("recipe", "check or convert a recipe file");
  command->require_subcommand(1);

  CLI::App* check = command->add_subcommand("check", "say whether a recipe is right");
  check->add_option("FILE", arguments->file)->required();
  check->add_option("--model", arguments->model, "also check that its targets and groups fit this model");
  check->callback([arguments] {
    const auto recipe = make<Recipe>(autoround_recipe_load, arguments->file.c_str());
    Model model;
    if (!arguments->model.empty())
      model = make<Model>(autoround_model_open, static_cast<autoround_context*>(nullptr), arguments->model.c_str(),
                          static_cast<const autoround_options*>(nullptr));
    call(autoround_recipe_validate, recipe.get(), model.get());
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
  app.add_subcommand("schemes", "preset schemes")->callback([] {
    print_list(autoround_scheme_count, autoround_scheme_name);
  });
  app.add_subcommand("formats", "output formats")->callback([] {
    print_list(autoround_format_count, autoround_format_name);
  });
  app.add_subcommand("version", "version and build")->callback([&common] {
    if (common.json)
      std::printf("%s\n", autoround_build_info());
    else
      std::printf("autoround %s\n%s\n", autoround_version_string(), autoround_build_info());
  });
}

}  // namespace cli
