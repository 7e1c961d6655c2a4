// From the neutral tree to a Recipe: finds the modifier in the shapes that recipes have, then reads its fields by the
// tables of keys. Whatever is not understood is an error that names its place.
#include <algorithm>

#include "base/text.hpp"
#include "recipe/keys.hpp"
#include "recipe/node.hpp"
#include "recipe/scheme_keys.hpp"
#include "recipe/scheme_tree.hpp"

namespace autoround::recipe {
namespace {

const std::string kModifier = "AutoRoundModifier";

bool ends_with(const std::string& text, std::string_view suffix) {
  return text.size() > suffix.size() && text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
}

bool is_modifiers_key(const std::string& key) { return key == "modifiers" || ends_with(key, "_modifiers"); }

struct Found {
  const Node* modifier = nullptr;
  std::string path;
};

void take_modifier(const Entry& entry, const Where& where, Found& found) {
  if (entry.key != kModifier) {
    fail_at(entry.place, where.file,
            "`" + where.path + "`: no modifier of type `" + entry.key + "`; there is " + kModifier, Code::unsupported);
  }
  if (found.modifier)
    where.fail(entry.place, "a second " + kModifier + "; a recipe has one, and config_groups for layers that differ");
  if (!entry.value.is_table() && !entry.value.is_null())
    where.fail(entry.value.place, "wanted a table of the modifier's fields");
  found = {&entry.value, where.path};
}

void read_stage(const Node& stage, const Where& where, Found& found) {
  if (!stage.is_table()) where.fail(stage.place, "wanted a table with `modifiers`");
  for (const auto& [key, place, modifiers] : stage.entries) {
    const Where inside = where.at(key);
    if (!is_modifiers_key(key)) inside.fail(place, "a stage holds `modifiers` or `<name>_modifiers`");
    if (!modifiers.is_table()) inside.fail(modifiers.place, "wanted a table of modifiers by class name");
    for (const auto& entry : modifiers.entries) take_modifier(entry, inside.at(entry.key), found);
  }
}

/// `<name>_stage: {modifiers: {AutoRoundModifier: ...}}`, or `AutoRoundModifier: ...` alone.
Found find_modifier(const Node& document, const std::string& file) {
  Found found;
  const Where top{file, ""};
  if (!document.is_table()) {
    fail_at(document.place, file,
            document.is_null() ? "an empty recipe; wanted a table with " + kModifier
                               : "wanted a table at the top, with " + kModifier + " in it");
  }
  for (const auto& entry : document.entries) {
    const Where where = top.at(entry.key);
    if (ends_with(entry.key, "_stage")) {
      read_stage(entry.value, where, found);
    } else if (ends_with(entry.key, "Modifier")) {
      take_modifier(entry, where, found);
    } else {
      where.fail(entry.place,
                 "does not belong at the top of a recipe: wanted `<name>_stage` with `modifiers` in it, or `" +
                     kModifier + "`");
    }
  }
  if (!found.modifier) fail_at(document.place, file, "no modifier in this recipe; wanted " + kModifier);
  return found;
}

class ModifierReader {
 public:
  explicit ModifierReader(Recipe& recipe) : recipe_(recipe) {}

  void read(const Node& table, const Where& where) {
    for (const auto& entry : table.entries) read_field(entry, where.at(entry.key));
    if (recipe_.scheme && !recipe_.config_groups.empty()) {
      where.fail(table.place, "both `scheme` and `config_groups`; wanted one of them");
    }
  }

 private:
  void read_field(const Entry& entry, const Where& where) {
    if (entry.key == "config_groups") return read_config_groups(entry.value, where);
    if (entry.key == "layers") return read_layers(entry.value, where);
    if (entry.key == "scheme" && entry.value.is_table()) return read_scheme_table(entry.value, where);
    if (entry.key == "kv_cache_scheme") {
      recipe_.kv_cache_scheme = read_args(entry.value, Role::kv_cache, where);
      return;
    }
    if (const Key* key = find_text_key(entry.key)) return read_key(*key, entry, where);
    read_informational(entry, where);
  }

  /// Keys with a dot are for setters.
  static const Key* find_text_key(const std::string& name) {
    const auto found = std::find_if(keys().begin(), keys().end(), [&](const Key& key) {
      return key.name == name && name.find('.') == std::string::npos;
    });
    return found == keys().end() ? nullptr : &*found;
  }

  void read_key(const Key& key, const Entry& entry, const Where& where) {
    const auto value = read_value(entry.value, where);
    if (value) {
      set_at(entry.value, where, [&] { key.set(recipe_, *value); });
    } else if (!key.nullable) {
      where.fail(entry.value.place, "found null, wanted a value: " + key.help);
    }
  }

  void read_informational(const Entry& entry, const Where& where) {
    for (const auto& key : informational_keys()) {
      if (key.name != entry.key) continue;
      const bool is_scalar = entry.value.kind == Node::Kind::scalar;
      const auto value = is_scalar ? read_value(entry.value, where) : std::optional<Value>(std::vector<std::string>{});
      if (!key.is_neutral(value ? &*value : nullptr)) {
        where.fail(entry.value.place, "cannot be honoured: " + key.reason);
      }
      return;
    }
    where.fail(entry.place, "unknown key" + hint(entry.key, names()) + "; keys: " + join(names(), ", "));
  }

  static std::vector<std::string> names() {
    std::vector<std::string> all = {"config_groups", "layers"};
    for (const auto& key : keys()) {
      if (key.name.find('.') == std::string::npos) all.push_back(key.name);
    }
    all.push_back("kv_cache_scheme");
    return all;
  }

  void read_scheme_table(const Node& table, const Where& where) {
    const bool by_field =
        table.entries.empty() || std::any_of(table.entries.begin(), table.entries.end(),
                                             [](const Entry& entry) { return is_scheme_field(entry.key); });
    if (by_field) {
      recipe_.scheme = read_scheme(table, Targets::forbidden, where);
    } else {
      for (const auto& entry : table.entries) add_preset_group(entry, where.at(entry.key));
    }
  }

  void read_config_groups(const Node& node, const Where& where) {
    if (node.is_null()) return;
    if (!node.is_table() || node.entries.empty()) where.fail(node.place, "wanted a table of groups by name");
    for (const auto& entry : node.entries) {
      const Where group = where.at(entry.key);
      if (entry.value.is_table()) {
        add_group(entry, read_scheme(entry.value, Targets::required, group), group);
      } else {
        add_preset_group(entry, group);
      }
    }
  }

  /// `lm_head: {scheme: W8A16}`
  void read_layers(const Node& node, const Where& where) {
    if (node.is_null()) return;
    if (!node.is_table()) where.fail(node.place, "wanted a table of layers by module name or re: pattern");
    for (const auto& layer : node.entries) {
      const Where own = where.at(layer.key);
      if (!layer.value.is_table()) own.fail(layer.value.place, "wanted a table with `scheme` in it");
      for (const auto& entry : layer.value.entries) {
        const Where field = own.at(entry.key);
        if (entry.key != "scheme") field.fail(entry.place, "unknown key; a layer has `scheme`, with `weights` in it");
        read_layer_scheme(layer.key, entry, field);
      }
    }
  }

  void read_layer_scheme(const std::string& layer, const Entry& entry, const Where& where) {
    if (!entry.value.is_table()) return read_key(scheme_key(layer), entry, where);
    QuantizationScheme scheme = read_scheme(entry.value, Targets::forbidden, where);
    set_at(Node{.place = entry.place}, where, [&] { set_layer_scheme(recipe_, layer, std::move(scheme)); });
  }

  /// `W4A16: ["Linear"]`
  void add_preset_group(const Entry& entry, const Where& where) {
    QuantizationScheme scheme;
    set_at(Node{.place = entry.place}, where, [&] { scheme = preset_scheme(entry.key); });
    if (entry.value.is_null() || entry.value.is_table())
      where.fail(entry.value.place, "wanted the list of the preset's targets");
    scheme.targets = read_targets(entry.value, where);
    add_group(entry, std::move(scheme), where);
  }

  void add_group(const Entry& entry, QuantizationScheme scheme, const Where& where) {
    const auto same = [&](const auto& group) { return group.first == entry.key; };
    if (std::any_of(recipe_.config_groups.begin(), recipe_.config_groups.end(), same))
      where.fail(entry.place, "is given twice");
    recipe_.config_groups.emplace_back(entry.key, std::move(scheme));
  }

  Recipe& recipe_;
};

}  // namespace

Recipe read_recipe(const Node& document, const std::string& file) {
  const Found found = find_modifier(document, file);
  Recipe recipe;
  ModifierReader(recipe).read(*found.modifier, {file, found.path});
  return recipe;
}

}  // namespace autoround::recipe
