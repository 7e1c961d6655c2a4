#include "recipe/recipe.hpp"

#include <set>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "recipe/matching.hpp"
#include "recipe/node.hpp"

namespace autoround::recipe {
namespace {

constexpr std::size_t kMaxBytes = 1u << 20;

Place place_of(std::string_view text, std::size_t offset) {
  Place place{1, 1};
  for (const char c : text.substr(0, offset)) {
    place.column = c == '\n' ? 1 : place.column + 1;
    place.line += c == '\n' ? 1 : 0;
  }
  return place;
}

void check_text(std::string_view text, const std::string& file) {
  if (text.size() > kMaxBytes) {
    fail(
        Code::parse, file,
        "the recipe has " + std::to_string(text.size()) + " bytes, at most " + std::to_string(kMaxBytes) + " are read");
  }
  if (const auto at = invalid_utf8(text)) fail_at(place_of(text, *at), file, "a byte that is not UTF-8");
  if (const auto at = text.find('\0'); at != std::string_view::npos) fail_at(place_of(text, at), file, "a NUL byte");
}

bool has_suffix(const std::string& path, std::string_view suffix) {
  return path.size() >= suffix.size() && path.compare(path.size() - suffix.size(), suffix.size(), suffix) == 0;
}

void check_targets(const std::vector<std::string>& targets, const std::string& key) {
  if (targets.empty()) fail(Code::invalid_argument, key, "wanted at least one class name, module name or re: pattern");
  for (const auto& target : targets) check_target(target);
}

}  // namespace

Recipe Recipe::parse(std::string_view text, Syntax syntax, const std::string& file) {
  check_text(text, file);
  return read_recipe(syntax == Syntax::toml ? parse_toml(text, file) : parse_yaml(text, file), file);
}

Recipe Recipe::load(const std::string& path) {
  const bool toml = has_suffix(path, ".toml");
  if (!toml && !has_suffix(path, ".yaml") && !has_suffix(path, ".yml")) {
    fail(Code::invalid_argument, path, "the suffix says the syntax of a recipe: wanted .toml, .yaml or .yml");
  }
  return parse(read_text_file(path, kMaxBytes), toml ? Syntax::toml : Syntax::yaml, path);
}

std::string Recipe::dump(Syntax syntax) const {
  const Node document = write_recipe(*this);
  return syntax == Syntax::toml ? write_toml(document) : write_yaml(document);
}

std::vector<std::pair<std::string, QuantizationScheme>> Recipe::groups() const {
  auto all = config_groups;
  if (scheme) {
    all = {{"group_0", *scheme}};
    all.front().second.targets = targets;
  }
  for (const auto& [layer, own] : layers) {
    all.emplace_back("layers." + layer, own);
    all.back().second.targets = {layer};
  }
  return all;
}

void Recipe::validate() const {
  if (scheme && !config_groups.empty())
    fail(Code::invalid_argument, "scheme", "both `scheme` and `config_groups` are given, wanted one");
  if (!scheme && config_groups.empty()) {
    fail(Code::invalid_argument, "scheme",
         "neither `scheme` nor `config_groups` is given, wanted one; for example scheme W4A16");
  }
  if (!config_groups.empty() && targets != Recipe{}.targets) {
    fail(Code::invalid_argument, "targets", "goes with `scheme`; each config group has its own targets");
  }
  std::set<std::string> names;
  std::set<std::string> seen;
  auto without_layers = groups();
  without_layers.resize(without_layers.size() - layers.size());  // a layer's target may be a group's too
  for (const auto& [name, group] : without_layers) {
    const std::string key = scheme ? "scheme" : "config_groups." + name;
    if (name.empty() || !names.insert(name).second)
      fail(Code::invalid_argument, key, "each config group needs a name of its own");
    recipe::validate(group, key);
    check_targets(group.targets, scheme ? "targets" : key + ".targets");
    for (const auto& target : group.targets) {
      if (!seen.insert(target).second) {
        fail(Code::invalid_argument, scheme ? "targets" : key + ".targets",
             "`" + target + "` is a target twice, so its scheme is not clear");
      }
    }
  }
  for (const auto& [layer, own] : layers) {
    check_target(layer);
    recipe::validate(own, "layers." + layer + ".scheme");
  }
  for (const auto& pattern : ignore) check_target(pattern);
  if (kv_cache_scheme) recipe::validate(*kv_cache_scheme, Role::kv_cache, "kv_cache_scheme");
}

}  // namespace autoround::recipe
