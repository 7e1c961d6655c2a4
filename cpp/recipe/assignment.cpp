// assign(): which module gets which scheme, and everything that is wrong with that, found before any weight is loaded.
#include <algorithm>
#include <map>

#include "base/error.hpp"
#include "base/text.hpp"
#include "recipe/matching.hpp"
#include "recipe/pattern.hpp"
#include "recipe/target.hpp"

namespace autoround::recipe {
namespace {

/// A target of one group, or an ignore, with what became of it.
struct Rule {
  Target target;
  std::size_t group = 0;  // of a target
  bool of_layer = false;  // a target that is a key of `layers`
  bool used = false;
};

using Groups = std::vector<std::pair<std::string, QuantizationScheme>>;

bool is_a(const ModuleInfo& module, std::string_view name) {
  return module.class_name == name || std::find(module.bases.begin(), module.bases.end(), name) != module.bases.end();
}

bool has_matrix(const ModuleInfo& module) { return module.shape.size() == 2; }

std::vector<Rule> target_rules(const Groups& groups, std::size_t layers) {
  std::vector<Rule> rules;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const bool of_layer = i >= groups.size() - layers;
    for (const auto& target : groups[i].second.targets) rules.push_back({Target(target), i, of_layer});
  }
  // Patterns are tried in alphabetical order, so that the first that matches does not depend on the order of groups.
  std::stable_sort(rules.begin(), rules.end(),
                   [](const Rule& a, const Rule& b) { return a.target.text() < b.target.text(); });
  return rules;
}

/// Embeddings are matched by name or class only: `re:.*` means the layers of a model, not its vocabulary. `layers`
/// names modules, never classes.
std::optional<Target::Rank> rank_of(const Rule& rule, const ModuleInfo& module) {
  using Kind = Target::Rank::Kind;
  const auto rank = rule.target.match(module);
  if (!rank || (rank->kind == Kind::pattern && !is_a(module, "Linear"))) return std::nullopt;
  if (rule.of_layer && rank->kind == Kind::class_name) return std::nullopt;
  return rank;
}

/// Of two patterns of `layers` neither is the author's last word.
void require_one_scheme(const Rule& a, const Rule& b, const ModuleInfo& module, const Groups& groups) {
  const QuantizationScheme &one = groups[a.group].second, &other = groups[b.group].second;
  if (one.weights == other.weights && one.input_activations == other.input_activations &&
      one.output_activations == other.output_activations)
    return;
  fail(Code::invalid_argument, "layers." + b.target.text() + ".scheme",
       "`" + a.target.text() + "` and `" + b.target.text() + "` give `" + module.name +
           "` different schemes; name the module itself, or make the patterns exclude each other");
}

/// The rule that decides for `module`; marks every rule that matches it as used.
const Rule* decide(std::vector<Rule>& rules, const ModuleInfo& module, const Groups& groups) {
  using Rank = std::pair<bool, Target::Rank>;
  const auto full_rank = [&](const Rule& rule) {
    const auto rank = rank_of(rule, module);
    return rank ? std::optional<Rank>({!rule.of_layer, *rank}) : std::nullopt;
  };
  const Rule* best = nullptr;
  std::optional<Rank> best_rank;
  for (auto& rule : rules) {
    const auto rank = full_rank(rule);
    if (!rank) continue;
    rule.used = true;
    if (!best_rank || *rank < *best_rank) {
      best = &rule;
      best_rank = rank;
    }
  }
  if (!best || !best->of_layer) return best;
  for (const auto& rule : rules) {
    if (&rule != best && full_rank(rule) == best_rank) require_one_scheme(*best, rule, module, groups);
  }
  return best;
}

/// The first that matches `module`; marks all that do as used, unless it has no weight: a container that is ignored
/// leaves the modules in it as they are.
const Rule* first_ignore(std::vector<Rule>& ignores, const ModuleInfo& module) {
  if (module.shape.empty()) return nullptr;
  const Rule* first = nullptr;
  for (auto& rule : ignores) {
    if (!rule.target.match(module)) continue;
    rule.used = true;
    if (!first) first = &rule;
  }
  return first;
}

Assignment::Entry entry_for(const ModuleInfo& module, const Rule* target, const Rule* ignore, const Groups& groups) {
  Assignment::Entry entry;
  entry.module = &module;
  if (ignore && !(target && target->of_layer)) {
    entry.reason = "ignored by `" + ignore->target.text() + "`";
  } else if (!target) {
    entry.reason = "no group matches";
  } else if (const auto& [name, scheme] = groups[target->group]; !scheme.weights) {
    entry.reason = "left alone by group `" + name + "` through `" + target->target.text() + "`";
  } else {
    entry.group = target->group;
    entry.scheme = fit_to(scheme, module.shape[1]);
  }
  return entry;
}

const ModuleInfo* first_match(const Rule& rule, const std::vector<ModuleInfo>& modules) {
  const auto found = std::find_if(modules.begin(), modules.end(),
                                  [&](const ModuleInfo& m) { return rule.target.match(m).has_value(); });
  return found == modules.end() ? nullptr : &*found;
}

std::string unmatched(const Rule& rule, const std::vector<ModuleInfo>& modules) {
  const std::string text =
      (rule.of_layer ? "layer `" : "target `") + rule.target.text() + "` matched no module that can be quantized";
  if (const ModuleInfo* other = first_match(rule, modules)) {
    return text + (is_a(*other, "Embedding") ? ": name the embedding `" + other->name + "` to quantize it"
                                             : ": `" + other->name + "` is a " + other->class_name);
  }
  std::vector<std::string> names;
  for (const auto& module : modules) {
    names.push_back(module.name);
    names.push_back(module.class_name);
  }
  return text + hint(rule.target.text(), names);
}

std::string unmatched_ignore(const Rule& rule, const std::vector<ModuleInfo>& modules) {
  const std::string text = "ignore `" + rule.target.text() + "` matched no module";
  const ModuleInfo* other = first_match(rule, modules);
  if (!other) return text;
  const bool holds_others = std::any_of(modules.begin(), modules.end(),
                                        [&](const ModuleInfo& m) { return m.name.starts_with(other->name + "."); });
  return concat({text, " that can be quantized: `", other->name, "` is a ", other->class_name,
                 holds_others ? "; what it holds is `re:" + name_pattern(other->name + ".") + ".*`" : ""});
}

std::optional<std::string> indivisible(const Assignment::Entry& entry) {
  if (!entry.group) return std::nullopt;
  const std::int64_t columns = entry.module->shape[1];
  const auto text = [&](const QuantizationArgs& args, const char* whose) -> std::optional<std::string> {
    const bool grouped = args.strategy == Strategy::group || args.strategy == Strategy::tensor_group;
    if (!grouped || columns % *args.group_size == 0) return std::nullopt;
    return concat({"`", entry.module->name, "` has ", std::to_string(columns), " columns, which ", whose, "group_size ",
                   std::to_string(*args.group_size), " does not divide"});
  };
  auto found = text(*entry.scheme.weights, "");
  if (!found && entry.scheme.input_activations) found = text(*entry.scheme.input_activations, "its inputs' ");
  return found;
}

void report(const std::vector<std::string>& unmatched_targets, const std::vector<std::string>& indivisible_modules) {
  if (unmatched_targets.empty() && indivisible_modules.empty()) return;
  std::vector<std::string> all = unmatched_targets;
  all.insert(all.end(), indivisible_modules.begin(), indivisible_modules.end());
  fail(Code::invalid_argument, unmatched_targets.empty() ? "group_size" : "targets", join(all, "\n"));
}

/// Schemes that gave way, each once.
void warn_of_fitted(const Assignment& assignment, const Groups& groups, const Logger& log) {
  std::map<std::string, std::pair<std::string, std::size_t>> fitted;  // what became of what -> first module, how many
  for (const auto& entry : assignment.linears) {
    if (!entry.group || entry.scheme == groups[*entry.group].second) continue;
    auto& [first, count] = fitted[describe(entry.scheme) + " instead of " + describe(groups[*entry.group].second)];
    if (count++ == 0) first = "`" + entry.module->name + "` has " + std::to_string(entry.module->shape[1]) + " columns";
  }
  for (const auto& [change, modules] : fitted)
    log.warn(modules.first + ", not a multiple of 256: " + change + ", as for " + std::to_string(modules.second - 1) +
             " other modules");
}

/// The rules of a recipe, ready to be put to modules.
struct Rules {
  explicit Rules(const Recipe& recipe) : groups(recipe.groups()), targets(target_rules(groups, recipe.layers.size())) {
    for (const auto& ignore : recipe.ignore) ignores.push_back({Target(ignore)});
  }

  /// nullopt: nothing that a scheme could go to.
  std::optional<Assignment::Entry> entry(const ModuleInfo& module) {
    const Rule* ignore = first_ignore(ignores, module);
    const bool linear = is_a(module, "Linear");
    if (!has_matrix(module) || (!linear && !is_a(module, "Embedding"))) return std::nullopt;
    const Rule* target = decide(targets, module, groups);
    if (!linear && !target) return std::nullopt;
    return entry_for(module, target, ignore, groups);
  }

  Groups groups;
  std::vector<Rule> targets, ignores;
};

}  // namespace

Assignment assign(const Recipe& recipe, const std::vector<ModuleInfo>& modules, const Logger& log) {
  Rules rules(recipe);
  Assignment assignment;
  for (const auto& module : modules)
    if (auto entry = rules.entry(module)) assignment.linears.push_back(std::move(*entry));

  std::vector<std::string> unmatched_targets;
  for (const auto& rule : rules.targets) {
    if (!rule.used) unmatched_targets.push_back(unmatched(rule, modules));
  }
  std::vector<std::string> indivisible_modules;
  for (const auto& entry : assignment.linears) {
    if (auto text = indivisible(entry)) indivisible_modules.push_back(std::move(*text));
  }
  report(unmatched_targets, indivisible_modules);
  warn_of_fitted(assignment, rules.groups, log);
  for (const auto& rule : rules.ignores) {
    if (!rule.used) log.warn(unmatched_ignore(rule, modules));
  }
  return assignment;
}

QuantizationScheme scheme_of(const Recipe& recipe, const ModuleInfo& module) {
  Rules rules(recipe);
  const auto entry = rules.entry(module);
  if (!entry || !entry->group)
    fail(Code::invalid_argument, module.name,
         concat({"the recipe does not quantize `", module.name, "`: ", entry ? entry->reason : "no group matches"}));
  if (const auto text = indivisible(*entry)) report({}, {*text});
  return entry->scheme;
}

}  // namespace autoround::recipe
