#include "recipe/scheme_tree.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "recipe/matching.hpp"

namespace autoround::recipe {
namespace {

const std::vector<std::string>& scheme_fields() {
  static const std::vector<std::string> names = {"targets", "weights", "input_activations", "output_activations",
                                                 "format"};
  return names;
}

const std::vector<std::string>& formats() {
  static const std::vector<std::string> names = {"pack-quantized",  "int-quantized",        "float-quantized",
                                                 "naive-quantized", "nvfp4-pack-quantized", "mxfp4-pack-quantized",
                                                 "mxfp8-quantized", "mxfp6-pack-quantized", "dense"};
  return names;
}

std::string read_format(const Node& node, const Where& where) {
  const auto value = read_value(node, where);
  if (!value) return "";
  std::string name;
  set_at(node, where, [&] { name = to_string(*value, where.path); });
  if (std::find(formats().begin(), formats().end(), name) == formats().end()) {
    where.fail(node.place, "found \"" + name + "\", wanted one of " + join(formats(), ", ") + hint(name, formats()));
  }
  return name;
}

/// [128, 128] as the "128x128" that its field takes.
std::optional<Value> read_block_structure(const Node& node, const Where& where) {
  if (node.kind != Node::Kind::sequence) return read_value(node, where);
  const auto side = [&](std::size_t i) { return std::get_if<std::int64_t>(&node.items[i].scalar); };
  if (node.items.size() != 2 || !side(0) || !side(1))
    where.fail(node.place, "wanted two positive integers, [rows, columns]");
  return std::to_string(*side(0)) + "x" + std::to_string(*side(1));
}

void read_args_field(const Entry& entry, QuantizationArgs& args, const Where& where) {
  if (entry.key == "observer_kwargs") {
    if (entry.value.is_null() || (entry.value.is_table() && entry.value.entries.empty())) return;
    where.fail(entry.place,
               "arguments of an observer change nothing here: AutoRound finds the ranges of weights itself");
  }
  const auto& fields = args_fields();
  const auto field =
      std::find_if(fields.begin(), fields.end(), [&](const ArgsField& f) { return f.name == entry.key; });
  if (field == fields.end()) {
    std::vector<std::string> names;
    for (const auto& known : fields) names.push_back(known.name);
    where.fail(entry.place, "unknown key" + hint(entry.key, names) + "; keys: " + join(names, ", "));
  }
  const auto value =
      entry.key == "block_structure" ? read_block_structure(entry.value, where) : read_value(entry.value, where);
  if (value) set_at(entry.value, where, [&] { field->set(args, *value, where.path); });
}

}  // namespace

void Where::fail(Place place, const std::string& message) const { fail_at(place, file, "`" + path + "`: " + message); }

std::optional<Value> read_value(const Node& node, const Where& where) {
  if (node.is_table()) where.fail(node.place, "found a table, wanted a value");
  if (node.kind == Node::Kind::sequence) {
    std::vector<std::string> list;
    for (const auto& item : node.items) {
      const auto* text = item.kind == Node::Kind::scalar ? std::get_if<std::string>(&item.scalar) : nullptr;
      if (!text) where.fail(item.place, "wanted a list of strings");
      list.push_back(*text);
    }
    return list;
  }
  if (node.is_null()) return std::nullopt;
  if (const auto* flag = std::get_if<bool>(&node.scalar)) return *flag;
  if (const auto* whole = std::get_if<std::int64_t>(&node.scalar)) return *whole;
  if (const auto* real = std::get_if<double>(&node.scalar)) return *real;
  return std::get<std::string>(node.scalar);
}

void set_at(const Node& node, const Where& where, const std::function<void()>& set) {
  try {
    set();
  } catch (const Error& error) {
    const bool names_another = error.subject() != where.path && error.code() == Code::parse;
    where.fail(node.place, names_another ? "`" + error.subject() + "`: " + error.what() : std::string(error.what()));
  }
}

std::vector<std::string> read_targets(const Node& node, const Where& where) {
  const auto value = read_value(node, where);
  std::vector<std::string> targets;
  set_at(node, where, [&] {
    targets = to_strings(value.value_or(Value(std::vector<std::string>{})), where.path);
    for (const auto& target : targets) check_target(target);
  });
  if (targets.empty()) where.fail(node.place, "wanted at least one class name, module name or re: pattern");
  return targets;
}

std::optional<QuantizationArgs> read_args(const Node& node, Role role, const Where& where) {
  if (node.is_null()) return std::nullopt;
  if (!node.is_table()) where.fail(node.place, "wanted a table of quantization arguments such as num_bits");
  QuantizationArgs args;
  bool strategy_given = false;
  for (const auto& entry : node.entries) {
    read_args_field(entry, args, where.at(entry.key));
    strategy_given |= entry.key == "strategy" && !entry.value.is_null();
  }
  if (!strategy_given) args.strategy = infer_strategy(args.group_size);
  set_at(node, where, [&] { validate(args, role, where.path); });
  return args;
}

bool is_scheme_field(const std::string& key) {
  return std::find(scheme_fields().begin(), scheme_fields().end(), key) != scheme_fields().end();
}

QuantizationScheme read_scheme(const Node& table, Targets targets, const Where& where) {
  QuantizationScheme scheme;
  for (const auto& entry : table.entries) {
    const Where field = where.at(entry.key);
    if (entry.key == "targets" && targets == Targets::required) {
      scheme.targets = read_targets(entry.value, field);
    } else if (entry.key == "targets") {
      field.fail(entry.place, "the targets of `scheme` go beside it, as `targets`");
    } else if (entry.key == "weights") {
      scheme.weights = read_args(entry.value, Role::weights, field);
    } else if (entry.key == "input_activations") {
      scheme.input_activations = read_args(entry.value, Role::activations, field);
    } else if (entry.key == "output_activations") {
      scheme.output_activations = read_args(entry.value, Role::activations, field);
    } else if (entry.key == "format") {
      scheme.format = read_format(entry.value, field);
    } else {
      field.fail(entry.place,
                 "unknown key" + hint(entry.key, scheme_fields()) + "; keys: " + join(scheme_fields(), ", "));
    }
  }
  if (targets == Targets::required && scheme.targets.empty()) where.fail(table.place, "a config group needs `targets`");
  set_at(table, where, [&] { validate(scheme, where.path); });
  return scheme;
}

Node to_node(const Value& value) {
  Node node;
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    node.kind = Node::Kind::sequence;
    for (const auto& text : *list) node.items.push_back(to_node(Value(text)));
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    node.scalar = *text;
  } else if (const auto* whole = std::get_if<std::int64_t>(&value)) {
    node.scalar = *whole;
  } else if (const auto* real = std::get_if<double>(&value)) {
    node.scalar = *real;
  } else {
    node.scalar = std::get<bool>(value);
  }
  return node;
}

Node write_args(const std::optional<QuantizationArgs>& args) {
  Node node;
  if (!args) return node;
  node.kind = Node::Kind::table;
  for (const auto& field : args_fields()) {
    if (const auto value = field.get(*args)) node.entries.push_back({field.name, {}, to_node(*value)});
  }
  return node;
}

Node write_scheme(const QuantizationScheme& scheme, Targets targets) {
  Node node;
  node.kind = Node::Kind::table;
  if (targets == Targets::required) node.entries.push_back({"targets", {}, to_node(Value(scheme.targets))});
  if (!scheme.format.empty()) node.entries.push_back({"format", {}, to_node(Value(scheme.format))});
  node.entries.push_back({"weights", {}, write_args(scheme.weights)});
  node.entries.push_back({"input_activations", {}, write_args(scheme.input_activations)});
  node.entries.push_back({"output_activations", {}, write_args(scheme.output_activations)});
  return node;
}

}  // namespace autoround::recipe
