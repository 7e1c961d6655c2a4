#include "recipe/tuning_presets.hpp"

#include <algorithm>

#include "recipe/value.hpp"

namespace autoround::recipe {
namespace {

/// Source: auto-round 0.15.1 cli/main.py, RECIPES.
struct TuningPreset {
  const char* name;
  std::int64_t batch_size, iters, seqlen, nsamples;
  std::optional<double> lr;
};
constexpr TuningPreset presets[] = {
    {"light", 8, 50, 2048, 128, 5e-3},
    {"default", 8, 200, 2048, 128, std::nullopt},
    {"best", 8, 1000, 2048, 512, std::nullopt},
};

}  // namespace

void apply_tuning_preset(Recipe& recipe, const std::string& name) {
  const auto found = std::find_if(std::begin(presets), std::end(presets),
                                  [&](const TuningPreset& preset) { return preset.name == name; });
  if (found == std::end(presets)) reject(name, "preset", "`light`, `default` or `best`");
  recipe.preset = name;
  const auto set = [&](const char* key, auto& field, const auto& value) {
    if (recipe.given.names.count(key) == 0) field = value;
  };
  set("batch_size", recipe.batch_size, found->batch_size);
  set("iters", recipe.iters, found->iters);
  set("seqlen", recipe.seqlen, found->seqlen);
  set("nsamples", recipe.nsamples, found->nsamples);
  set("lr", recipe.lr, found->lr);
}

}  // namespace autoround::recipe
