// A recipe: what is to be computed. Typed fields, one table of keys (keys.hpp) that parsing, setters, help, dump and
// docs share, and two syntaxes, TOML and YAML. Travels with the output as recipe.yaml.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "recipe/scheme.hpp"

namespace autoround::recipe {

enum class Syntax { toml, yaml };
enum class OnNan { error, rtn };

/// Keys that were given by name, which a preset leaves alone. How a recipe came to its values does not change what it
/// computes: recipes that differ in nothing else are equal.
struct GivenKeys {
  std::set<std::string> names;
  bool operator==(const GivenKeys&) const { return true; }
};

struct Recipe {
  // What is quantized. Exactly one of `scheme` and `config_groups` once validated.
  std::vector<std::pair<std::string, QuantizationScheme>> config_groups;
  std::optional<QuantizationScheme> scheme;  // its targets are `targets` below
  std::vector<std::string> targets = {"Linear"};
  std::vector<std::string> ignore;
  /// Schemes of single layers, by module name or `re:` pattern: the last word, whatever groups and ignores say.
  std::vector<std::pair<std::string, QuantizationScheme>> layers;
  std::optional<QuantizationArgs> kv_cache_scheme;

  // How it is tuned; defaults and meaning: docs/algorithm.md.
  std::string preset;  // "" = none; its values are in the fields already
  GivenKeys given;
  std::int64_t iters = 200;
  std::int64_t batch_size = 8;
  std::int64_t nsamples = 128;
  std::int64_t seqlen = 2048;
  std::int64_t seed = 42;
  std::optional<double> lr;         // 1/iters
  std::optional<double> minmax_lr;  // lr
  double momentum = 0.0;
  std::int64_t gradient_accumulate_steps = 1;
  std::int64_t nblocks = 1;
  std::int64_t dynamic_max_gap = -1;
  bool enable_torch_compile = true;
  bool enable_minmax_tuning = true;
  bool enable_quanted_input = true;
  bool not_use_best_mse = false;
  bool enable_alg_ext = false;
  bool disable_opt_rtn = false;
  std::string scale_dtype;  // "" = the dtype in which the format stores scales; "float16", "bfloat16", "float32"
  OnNan on_nan = OnNan::error;

  /// @throws Error parse with line and column; unknown keys carry the nearest name. `file` names the text in errors.
  static Recipe parse(std::string_view text, Syntax syntax, const std::string& file = "recipe");
  static Recipe load(const std::string& path);  // .toml, .yaml, .yml
  std::string dump(Syntax syntax) const;        // parse(dump(x)) == x

  /// Schemes in order: config_groups, or the one of `scheme` as "group_0" with `targets`; then those of `layers` as
  /// "layers.NAME" with NAME as their target.
  std::vector<std::pair<std::string, QuantizationScheme>> groups() const;
  /// SignRoundV2 with iterations, optimised rounding without.
  bool searches_scales() const { return iters > 0 ? enable_alg_ext : !disable_opt_rtn; }
  /// Rules that need no model. @throws Error invalid_argument
  void validate() const;

  bool operator==(const Recipe&) const = default;
};

}  // namespace autoround::recipe
