#include <array>
#include <string_view>
#include <utility>

#include "base/error.hpp"
#include "base/text.hpp"
#include "model/families/skeleton.hpp"

namespace autoround::model {
namespace {

constexpr std::array<std::pair<std::string_view, RopeType>, 7> known_types{{
    {"default", RopeType::standard},
    {"linear", RopeType::linear},
    {"dynamic", RopeType::dynamic},
    {"llama3", RopeType::llama3},
    {"yarn", RopeType::yarn},
    {"longrope", RopeType::longrope},
    {"su", RopeType::longrope},  // its first name
}};

RopeType read_type(const JsonView& view) {
  const std::string name = view.string_or("rope_type", "default");
  std::vector<std::string> names;
  for (const auto& [known, type] : known_types) {
    if (known == name) return type;
    names.emplace_back(known);
  }
  fail(Code::unsupported, view.subject(),
       "`rope_type` is " + quote(name) + ", which is not supported; supported are " + join(names, ", "));
}

double above(const JsonView& view, const std::string& key, double value, double bound) {
  if (!(value > bound))
    fail(Code::parse, view.subject(),
         "`" + key + "` is " + format_number(value) + "; it must be greater than " + format_number(bound));
  return value;
}

std::optional<double> optional_number(const JsonView& view, const std::string& key) {
  return view.has(key) ? std::optional(view.number(key)) : std::nullopt;
}

std::vector<double> read_factors(const JsonView& view, const std::string& key, std::size_t count) {
  const auto found = view.json().find(key);
  if (found == view.json().end() || !found->is_array() || found->size() != count)
    fail(Code::parse, view.subject(), "`" + key + "` must be an array of " + std::to_string(count) + " numbers");
  std::vector<double> factors;
  for (const Json& value : *found)
    factors.push_back(above(view, key, value.is_number() ? value.get<double>() : 0.0, 0.0));
  return factors;
}

}  // namespace

RopeSpec read_rope(const checkpoint::HfConfig& config, std::int64_t head_dim, std::int64_t max_position,
                   const SkeletonDefaults& defaults) {
  const Json parameters = config.rope_parameters(defaults.rope_layer_type, defaults.rope_theta);
  const JsonView view(parameters, config.view().subject() + ": rope parameters");
  const JsonView text = config.text();

  RopeSpec rope;
  rope.type = read_type(view);
  if (rope.type == RopeType::yarn && defaults.yarn_is_longrope) rope.type = RopeType::longrope;
  rope.theta = above(view, "rope_theta", view.number("rope_theta"), 1.0);
  const std::string& part_key = defaults.partial_rotary_key;
  const double part =
      view.number_or("partial_rotary_factor", text.number_or(part_key, defaults.partial_rotary.value_or(1.0)));
  if (part != 1.0 && !defaults.partial_rotary)
    fail(Code::unsupported, view.subject(),
         "a `partial_rotary_factor` other than 1 is not supported for this model_type");
  const auto rotary_dim = static_cast<std::int64_t>(static_cast<double>(head_dim) * part);
  if (!(part > 0.0 && part <= 1.0) || rotary_dim < 2 || rotary_dim % 2 != 0)
    fail(Code::parse, view.subject(),
         "`partial_rotary_factor` is " + format_number(part) + "; of heads of " + std::to_string(head_dim) +
             " elements it must leave an even number above 0");
  rope.rotary_dim = rotary_dim;
  rope.max_position = static_cast<double>(max_position);
  if (rope.type == RopeType::standard) return rope;

  // A value beside the rope parameters wins over one inside, as in transformers.
  const std::string original = "original_max_position_embeddings";
  rope.original_max_position = above(
      view, original,
      text.number_or(original, defaults.original_max_position ? static_cast<double>(*defaults.original_max_position)
                                                              : view.number_or(original, rope.max_position)),
      1.0);
  const bool factor_may_be_implied = rope.type == RopeType::yarn || rope.type == RopeType::longrope;
  rope.factor = above(view, "factor",
                      factor_may_be_implied && !view.has("factor") ? rope.max_position / rope.original_max_position
                                                                   : view.number("factor"),
                      0.0);
  rope.attention_factor = optional_number(view, "attention_factor");

  switch (rope.type) {
    case RopeType::llama3:
      rope.low_freq_factor = above(view, "low_freq_factor", view.number("low_freq_factor"), 0.0);
      rope.high_freq_factor = above(view, "high_freq_factor", view.number("high_freq_factor"), rope.low_freq_factor);
      break;
    case RopeType::yarn:
      // Zero means the default, as in transformers.
      if (const double fast = view.number_or("beta_fast", 0.0); fast != 0.0)
        rope.beta_fast = above(view, "beta_fast", fast, 0.0);
      if (const double slow = view.number_or("beta_slow", 0.0); slow != 0.0)
        rope.beta_slow = above(view, "beta_slow", slow, 0.0);
      rope.mscale = optional_number(view, "mscale");
      rope.mscale_all_dim = optional_number(view, "mscale_all_dim");
      rope.truncate = view.boolean_or("truncate", true);
      break;
    case RopeType::longrope:
      rope.short_factor = read_factors(view, "short_factor", static_cast<std::size_t>(rotary_dim / 2));
      rope.long_factor = read_factors(view, "long_factor", static_cast<std::size_t>(rotary_dim / 2));
      break;
    case RopeType::dynamic:
      if (rotary_dim <= 2) fail(Code::parse, view.subject(), "`rope_type` dynamic needs heads of more than 2 elements");
      break;
    case RopeType::standard:
    case RopeType::linear:
      break;
  }
  return rope;
}

}  // namespace autoround::model
