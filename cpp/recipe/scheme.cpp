#include "recipe/scheme.hpp"

#include <utility>

#include "base/error.hpp"
#include "base/text.hpp"
#include "recipe/gguf_schemes.hpp"

namespace autoround::recipe {
namespace {

constexpr std::array<std::pair<Strategy, std::string_view>, 7> kStrategies = {{
    {Strategy::tensor, "tensor"},
    {Strategy::channel, "channel"},
    {Strategy::group, "group"},
    {Strategy::block, "block"},
    {Strategy::token, "token"},
    {Strategy::tensor_group, "tensor_group"},
    {Strategy::attn_head, "attn_head"},
}};

bool has_groups(Strategy strategy) { return strategy == Strategy::group || strategy == Strategy::tensor_group; }

void check_bits(const QuantizationArgs& args, const std::string& key) {
  if (args.type == NumberType::integer) {
    if (args.num_bits < 2 || args.num_bits > 8) {
      fail(Code::invalid_argument, key,
           "found num_bits " + std::to_string(args.num_bits) + ", wanted 2 to 8 for type `int`");
    }
    return;
  }
  if (args.num_bits != 4 && args.num_bits != 6 && args.num_bits != 8) {
    fail(Code::invalid_argument, key,
         "found num_bits " + std::to_string(args.num_bits) + ", wanted 4, 6 or 8 for type `float`");
  }
  if (!args.symmetric) {
    fail(Code::invalid_argument, key, "found symmetric false, wanted true: floating-point formats have no zero point");
  }
}

void check_shape(const QuantizationArgs& args, const std::string& key) {
  const std::string strategy(strategy_name(args.strategy));
  if (args.group_size && *args.group_size != -1 && (*args.group_size < 8 || *args.group_size > 1024)) {
    fail(Code::invalid_argument, key,
         "found group_size " + std::to_string(*args.group_size) + ", wanted 8 to 1024, or -1 for one scale a row");
  }
  const bool positive = args.group_size && *args.group_size > 0;
  if (has_groups(args.strategy) && !positive) {
    fail(Code::invalid_argument, key, "strategy `" + strategy + "` needs a positive group_size");
  }
  if (!has_groups(args.strategy) && positive) {
    fail(Code::invalid_argument, key,
         "found group_size " + std::to_string(*args.group_size) + " with strategy `" + strategy +
             "`, wanted strategy `group`");
  }
  if ((args.strategy == Strategy::block) != args.block_structure.has_value()) {
    fail(Code::invalid_argument, key,
         args.block_structure ? "block_structure goes with strategy `block`, found `" + strategy + "`"
                              : "strategy `block` needs block_structure, for example \"128x128\"");
  }
  if (args.block_structure && ((*args.block_structure)[0] < 1 || (*args.block_structure)[1] < 1)) {
    fail(Code::invalid_argument, key, "block_structure needs two positive sizes, rows and columns");
  }
}

void check_dynamic(const QuantizationArgs& args, Role role, const std::string& key) {
  const std::string strategy(strategy_name(args.strategy));
  if (args.strategy == Strategy::token && args.dynamic == Dynamic::no) {
    fail(Code::invalid_argument, key,
         "strategy `token` has a scale for each token as it comes, so it needs dynamic true");
  }
  if (args.dynamic == Dynamic::no) return;
  if (role == Role::weights)
    fail(Code::invalid_argument, key, "weights do not change at run time: dynamic must be false");
  if (args.strategy != Strategy::token && args.strategy != Strategy::tensor && !has_groups(args.strategy)) {
    fail(Code::invalid_argument, key,
         "found dynamic true with strategy `" + strategy + "`, wanted token, tensor, tensor_group or group");
  }
  if (args.dynamic == Dynamic::local && args.strategy != Strategy::tensor_group) {
    fail(Code::invalid_argument, key, "found dynamic \"local\" with strategy `" + strategy + "`, wanted tensor_group");
  }
}

void check_role(const QuantizationArgs& args, Role role, const std::string& key) {
  const bool rows_of_weights = args.strategy == Strategy::channel || args.strategy == Strategy::block;
  const bool run_time_only = args.strategy == Strategy::token || args.strategy == Strategy::attn_head;
  if (role == Role::weights ? run_time_only : rows_of_weights) {
    fail(Code::invalid_argument, key,
         "strategy `" + std::string(strategy_name(args.strategy)) + "` is not one for " +
             (role == Role::weights ? "weights, wanted tensor, channel, group, block or tensor_group"
                                    : "activations, wanted token, tensor, group, tensor_group or attn_head"));
  }
  if (role != Role::weights && !args.actorder.empty()) {
    fail(Code::invalid_argument, key, "actorder is for weights only, found `" + args.actorder + "`");
  }
}

}  // namespace

std::string_view strategy_name(Strategy strategy) noexcept {
  for (const auto& [value, name] : kStrategies) {
    if (value == strategy) return name;
  }
  return "";
}

Strategy parse_strategy(std::string_view name, const std::string& key) {
  std::vector<std::string> names;
  for (const auto& [value, text] : kStrategies) {
    if (text == name) return value;
    names.emplace_back(text);
  }
  fail(Code::invalid_argument, key,
       "found \"" + std::string(name) + "\", wanted one of " + join(names, ", ") + hint(name, names));
}

Strategy infer_strategy(std::optional<std::int64_t> group_size) noexcept {
  if (!group_size) return Strategy::tensor;
  return *group_size == -1 ? Strategy::channel : Strategy::group;
}

void validate(const QuantizationArgs& args, Role role, const std::string& key) {
  check_bits(args, key);
  check_shape(args, key);
  check_dynamic(args, role, key);
  check_role(args, role, key);
  check_super_groups(args, key);
}

void validate(const QuantizationScheme& scheme, const std::string& key) {
  if (scheme.weights) validate(*scheme.weights, Role::weights, key + ".weights");
  if (scheme.input_activations) validate(*scheme.input_activations, Role::activations, key + ".input_activations");
  if (scheme.output_activations) validate(*scheme.output_activations, Role::activations, key + ".output_activations");
  if (!scheme.weights && (scheme.input_activations || scheme.output_activations)) {
    fail(Code::invalid_argument, key,
         "activations are quantized but no weights are: AutoRound needs `weights` to tune");
  }
}

std::string describe(const QuantizationScheme& scheme) {
  if (!scheme.preset.empty()) return scheme.preset;
  if (!scheme.weights) return "unquantized";
  const auto& args = *scheme.weights;
  std::string text = (args.type == NumberType::integer ? "int" : "float") + std::to_string(args.num_bits) + " " +
                     std::string(strategy_name(args.strategy));
  if (has_groups(args.strategy) && args.group_size) text += " " + std::to_string(*args.group_size);
  if (args.type == NumberType::integer) text += args.symmetric ? " sym" : " asym";
  if (args.super_group_size) text += ", super groups of " + std::to_string(*args.super_group_size);
  if (const auto& input = scheme.input_activations) {
    text += ", inputs " + std::string(input->type == NumberType::integer ? "int" : "float") +
            std::to_string(input->num_bits);
  }
  return text;
}

}  // namespace autoround::recipe
