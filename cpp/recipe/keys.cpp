#include "recipe/keys.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.hpp"
#include "base/text.hpp"
#include "recipe/args_fields.hpp"
#include "recipe/matching.hpp"
#include "recipe/scheme_keys.hpp"
#include "recipe/tuning_presets.hpp"

namespace autoround::recipe {
namespace {

constexpr std::int64_t kMaxCount = 1'000'000;

Key integer_key(const std::string& name, std::string help, std::int64_t Recipe::*field, std::int64_t min,
                std::int64_t max) {
  return make_key(
      name, std::move(help),
      [=](Recipe& recipe, const Value& value) { recipe.*field = to_integer(value, name, min, max); },
      [=](const Recipe& recipe) { return Value(recipe.*field); });
}

Key bool_key(const std::string& name, std::string help, bool Recipe::*field) {
  return make_key(
      name, std::move(help), [=](Recipe& recipe, const Value& value) { recipe.*field = to_bool(value, name); },
      [=](const Recipe& recipe) { return Value(recipe.*field); });
}

/// A step size moves roundings and clip ranges that live in [-0.5, 0.5] and [0, 1], so more than 1 is always a mistake.
Key rate_key(const std::string& name, std::string help, std::optional<double> Recipe::*field) {
  return make_key(
      name, std::move(help),
      [=](Recipe& recipe, const Value& value) {
        const double rate = to_finite(value, name);
        if (rate <= 0 || rate > 1) reject(value, name, "a number above 0 and at most 1");
        recipe.*field = rate;
      },
      [=](const Recipe& recipe) { return (recipe.*field) ? std::optional<Value>(*(recipe.*field)) : std::nullopt; },
      true);
}

Key patterns_key(const std::string& name, std::string help, std::vector<std::string> Recipe::*field) {
  return make_key(
      name, std::move(help),
      [=](Recipe& recipe, const Value& value) {
        auto patterns = to_strings(value, name);
        for (const auto& pattern : patterns) check_target(pattern);
        recipe.*field = std::move(patterns);
      },
      [=](const Recipe& recipe) { return Value(recipe.*field); });
}

Key momentum_key() {
  return make_key(
      "momentum", "share of the last step kept in the next, at least 0 and below 1; default 0",
      [](Recipe& recipe, const Value& value) {
        const double momentum = to_finite(value, "momentum");
        if (momentum < 0 || momentum >= 1) reject(value, "momentum", "a number from 0 to below 1");
        recipe.momentum = momentum;
      },
      [](const Recipe& recipe) { return Value(recipe.momentum); });
}

Key scale_dtype_key() {
  return make_key(
      "scale_dtype",
      "dtype of scales while tuning: float16, bfloat16 or float32; default: the dtype that the format stores",
      [](Recipe& recipe, const Value& value) {
        const std::string name = parse_dtype(value, "scale_dtype");
        if (name != "float16" && name != "bfloat16" && name != "float32") {
          reject(value, "scale_dtype", "float16, bfloat16 or float32");
        }
        recipe.scale_dtype = name;
      },
      [](const Recipe& recipe) {
        return recipe.scale_dtype.empty() ? std::nullopt : std::optional<Value>(recipe.scale_dtype);
      },
      true);
}

Key on_nan_key() {
  return make_key(
      "on_nan",
      "a block whose loss is not finite: error stops the run, rtn rounds that block to nearest; default error",
      [](Recipe& recipe, const Value& value) {
        const std::string name = to_string(value, "on_nan");
        if (name != "error" && name != "rtn") reject(value, "on_nan", "`error` or `rtn`");
        recipe.on_nan = name == "rtn" ? OnNan::rtn : OnNan::error;
      },
      [](const Recipe& recipe) { return Value(std::string(recipe.on_nan == OnNan::rtn ? "rtn" : "error")); });
}

Key preset_key() {
  return make_key(
      "preset",
      "values of batch_size, iters, seqlen, nsamples and lr that are not given themselves: light, default or best; "
      "default none",
      [](Recipe& recipe, const Value& value) { apply_tuning_preset(recipe, to_string(value, "preset")); },
      [](const Recipe& recipe) { return recipe.preset.empty() ? std::nullopt : std::optional<Value>(recipe.preset); },
      true);
}

/// A key that a preset also sets: once given, it stays.
Key with_preset(Key key) {
  key.set = [set = key.set, name = key.name](Recipe& recipe, const Value& value) {
    set(recipe, value);
    recipe.given.names.insert(name);
  };
  return key;
}

std::vector<Key> make_keys() {
  std::vector<Key> all;
  all.push_back(scheme_key());
  all.push_back(patterns_key("targets", "with scheme: class names, module names or re: patterns; default Linear",
                             &Recipe::targets));
  all.push_back(patterns_key(
      "ignore", "class names, module names or re: patterns left alone even when a target matches; default none",
      &Recipe::ignore));
  const auto add = [&](const std::vector<Key>& some) { all.insert(all.end(), some.begin(), some.end()); };
  add(weights_keys());
  all.push_back(scheme_key("NAME"));
  add(weights_keys("NAME"));
  all.push_back(preset_key());
  all.push_back(with_preset(integer_key("iters", "tuning steps a block, 0 to 100000; 0 only rounds; default 200",
                                        &Recipe::iters, 0, 100'000)));
  all.push_back(with_preset(
      integer_key("batch_size", "samples a step, at least 1; default 8", &Recipe::batch_size, 1, kMaxCount)));
  all.push_back(with_preset(
      integer_key("nsamples", "calibration samples used, at least 1; default 128", &Recipe::nsamples, 1, kMaxCount)));
  all.push_back(
      with_preset(integer_key("seqlen", "tokens a sample, 1 to 131072; default 2048", &Recipe::seqlen, 1, 131'072)));
  all.push_back(integer_key("seed", "start of the one random generator, at least 0; default 42", &Recipe::seed, 0,
                            std::numeric_limits<std::int64_t>::max()));
  all.push_back(with_preset(
      rate_key("lr", "first step size of the rounding, above 0 and at most 1; default 1/iters", &Recipe::lr)));
  all.push_back(rate_key("minmax_lr", "first step size of the clip range, above 0 and at most 1; default lr",
                         &Recipe::minmax_lr));
  all.push_back(momentum_key());
  all.push_back(integer_key("gradient_accumulate_steps", "batches whose gradients make one step, at least 1; default 1",
                            &Recipe::gradient_accumulate_steps, 1, kMaxCount));
  all.push_back(
      integer_key("nblocks", "decoder layers tuned together, at least 1; default 1", &Recipe::nblocks, 1, 4096));
  all.push_back(integer_key("dynamic_max_gap", "steps without a better loss before a block stops, -1 never; default -1",
                            &Recipe::dynamic_max_gap, -1, 100'000));
  all.push_back(bool_key("enable_torch_compile",
                         "true: fused kernels, false: plain LibTorch operations; same integers; default true",
                         &Recipe::enable_torch_compile));
  all.push_back(bool_key("enable_minmax_tuning", "tune the clip range as well as the rounding; default true",
                         &Recipe::enable_minmax_tuning));
  all.push_back(bool_key("enable_quanted_input",
                         "feed a block the output of the quantized blocks before it; default true",
                         &Recipe::enable_quanted_input));
  all.push_back(bool_key("not_use_best_mse", "keep the last step's parameters instead of the best's; default false",
                         &Recipe::not_use_best_mse));
  all.push_back(
      bool_key("enable_alg_ext",
               "SignRoundV2: tune from searched scales, for symmetric integers, MX formats and NVFP4; default "
               "false",
               &Recipe::enable_alg_ext));
  all.push_back(bool_key("disable_opt_rtn",
                         "with iters 0: round to nearest even where calibration data could choose better scales; "
                         "default false",
                         &Recipe::disable_opt_rtn));
  all.push_back(scale_dtype_key());
  all.push_back(on_nan_key());
  return all;
}

bool is_anything(const Value*) { return true; }
bool is_null_or_minus_one(const Value* value) {
  return !value || *value == Value(std::int64_t{-1}) || *value == Value(-1.0);
}
bool is_null_or_false(const Value* value) { return !value || *value == Value(false); }

}  // namespace

Key make_key(std::string name, std::string help, Key::Setter set, Key::Getter value, bool nullable) {
  auto text = [value](const Recipe& recipe) {
    const auto found = value(recipe);
    return found ? to_text(*found) : std::string();
  };
  return {std::move(name), std::move(help), std::move(set), std::move(text), std::move(value), nullable};
}

const std::vector<Key>& keys() {
  static const std::vector<Key> all = make_keys();
  return all;
}

const std::vector<InformationalKey>& informational_keys() {
  static const std::string ranges =
      "AutoRound finds the ranges of weights itself; activation ranges come from the scheme";
  static const std::vector<InformationalKey> all = {
      {"index", "place of the modifier in a recipe of several; there is one here", is_anything},
      {"group", "name of the stage; the stage's key says it", is_anything},
      {"start", "epoch of training at which a modifier begins; there is no training", is_null_or_minus_one},
      {"end", "epoch of training at which a modifier ends; there is no training", is_null_or_minus_one},
      {"update", "epochs between updates; there is no training", is_null_or_minus_one},
      {"requires_calibration_data", "the session asks for samples when the recipe needs them", is_anything},
      {"device_ids", "the host chooses the device; results do not depend on it", is_anything},
      {"bypass_divisibility_checks", "rows that group_size does not divide cannot be stored", is_null_or_false},
      {"observer", ranges, is_anything},
      {"weight_observer", ranges, is_anything},
      {"input_observer", ranges, is_anything},
      {"output_observer", ranges, is_anything},
  };
  return all;
}

Key find_key(std::string_view name) {
  if (auto key = find_layer_key(name)) return *std::move(key);
  const auto& all = keys();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Key& key) { return key.name == name; });
  if (found != all.end()) return *found;
  std::vector<std::string> names;
  for (const auto& key : all) names.push_back(key.name);
  fail(Code::invalid_argument, std::string(name),
       "no recipe key has this name" + hint(name, names) + "; keys: " + join(names, ", "));
}

void set_value(Recipe& recipe, std::string_view key, const Value& value) { find_key(key).set(recipe, value); }

void append_value(Recipe& recipe, std::string_view key, const std::string& value) {
  const Key found = find_key(key);
  auto list = found.value(recipe);
  auto* strings = list ? std::get_if<std::vector<std::string>>(&*list) : nullptr;
  if (!strings) fail(Code::invalid_argument, found.name, "holds one value, not a list: set it");
  strings->push_back(value);
  found.set(recipe, *list);
}

std::string get_value(const Recipe& recipe, std::string_view key) { return find_key(key).get(recipe); }

}  // namespace autoround::recipe
