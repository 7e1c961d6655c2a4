#include "exporter/compressed_tensors_schemes.hpp"

#include <optional>
#include <utility>

#include "base/error.hpp"
#include "base/text.hpp"

namespace autoround::exporter {
namespace {

std::vector<std::string> read_targets(const JsonView& group) {
  const auto found = group.json().find("targets");
  if (found == group.json().end() || !found->is_array()) {
    fail(Code::parse, group.subject(), "`targets` is missing or no list of strings");
  }
  std::vector<std::string> targets;
  for (const auto& target : *found) {
    if (!target.is_string()) fail(Code::parse, group.subject(), "`targets` holds something that is no string");
    targets.push_back(target.get<std::string>());
  }
  return targets;
}

std::array<std::int64_t, 2> read_block(const JsonView& args) {
  constexpr std::int64_t largest = 1 << 20;
  const auto found = args.json().find("block_structure");
  const auto side = [&](std::size_t i) {
    const Json& value = (*found)[i];
    const std::int64_t size = value.is_number_integer() ? value.get<std::int64_t>() : 0;
    if (size < 1 || size > largest) fail(Code::parse, args.subject(), "`block_structure` is no pair of positive sizes");
    return size;
  };
  if (found == args.json().end() || !found->is_array() || found->size() != 2) {
    fail(Code::parse, args.subject(), "strategy `block` needs `block_structure`, [rows, columns]");
  }
  return {side(0), side(1)};
}

recipe::Dynamic read_dynamic(const JsonView& args) {
  const auto found = args.json().find("dynamic");
  if (found != args.json().end() && found->is_string() && *found == "local") return recipe::Dynamic::local;
  return args.boolean_or("dynamic", false) ? recipe::Dynamic::yes : recipe::Dynamic::no;
}

recipe::QuantizationArgs read_args(const JsonView& json) {
  recipe::QuantizationArgs args;
  const std::string type = json.string_or("type", "int");
  if (type != "int" && type != "float") {
    fail(Code::unsupported, json.subject(), "numbers of type " + quote(type) + " cannot be read");
  }
  args.type = type == "int" ? recipe::NumberType::integer : recipe::NumberType::floating;
  args.num_bits = static_cast<int>(json.integer("num_bits", 2, 8));
  args.symmetric = json.boolean_or("symmetric", true);
  if (json.has("group_size")) args.group_size = json.integer("group_size", -1, std::int64_t{1} << 31);
  const auto inferred = std::string(recipe::strategy_name(recipe::infer_strategy(args.group_size)));
  args.strategy = recipe::parse_strategy(json.string_or("strategy", inferred), json.subject());
  if (args.strategy == recipe::Strategy::block) args.block_structure = read_block(json);
  if (args.strategy == recipe::Strategy::group && args.group_size.value_or(0) < 1) {
    fail(Code::parse, json.subject(), "strategy `group` needs a positive group_size");
  }
  args.dynamic = read_dynamic(json);
  args.scale_dtype = json.string_or("scale_dtype", "");
  return args;
}

SchemeGroup read_group(const JsonView& group, const std::string& outer_format) {
  const CompressionFormat compression = parse_compression(group.string_or("format", outer_format), group.subject());
  if (group.has("output_activations")) {
    fail(Code::unsupported, group.subject(), "quantized outputs cannot be evaluated");
  }
  const auto weights = group.object("weights");
  if (!weights) fail(Code::parse, group.subject(), "`weights` is missing");
  recipe::QuantizationScheme scheme;
  scheme.weights = read_args(*weights);
  if (const auto inputs = group.object("input_activations")) scheme.input_activations = read_args(*inputs);
  SchemeGroup result{read_targets(group), quant::weight_format(scheme, at::kFloat), compression};
  if (!holds(compression, result.format)) {
    fail(Code::parse, group.subject(),
         "format " + quote(compression_name(compression)) + " cannot hold weights of " +
             std::to_string(result.format.bits) + " bits of this type");
  }
  return result;
}

}  // namespace

std::vector<SchemeGroup> read_groups(const JsonView& config) {
  const auto groups = config.object("config_groups");
  if (!groups || groups->json().empty()) fail(Code::parse, config.subject(), "`config_groups` is missing or empty");
  const std::string format = config.string_or("format", "");
  std::vector<SchemeGroup> result;
  for (const auto& item : groups->json().items()) {
    const auto group = groups->object(item.key());
    if (!group) fail(Code::parse, groups->subject(), "group " + quote(item.key()) + " is null");
    result.push_back(read_group(*group, format));
  }
  return result;
}

const SchemeGroup* find_group(const std::vector<SchemeGroup>& groups, const recipe::ModuleInfo& module) {
  using Claim = std::pair<int, std::string>;
  const SchemeGroup* best = nullptr;
  Claim best_claim;
  for (const auto& group : groups) {
    for (const auto& target : group.targets) {
      if (!recipe::matches(target, module)) continue;
      const bool pattern = target.rfind("re:", 0) == 0;
      const Claim claim = target == module.name ? Claim{0, ""} : pattern ? Claim{1, target} : Claim{2, ""};
      if (best == nullptr || claim < best_claim) {
        best = &group;
        best_claim = claim;
      }
    }
  }
  return best;
}

}  // namespace autoround::exporter
