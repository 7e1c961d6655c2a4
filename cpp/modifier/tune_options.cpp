#include "modifier/tune_options.hpp"

#include "base/error.hpp"
#include "quant/scale_search.hpp"

namespace autoround::modifier {

tuner::TuneOptions tune_options(const recipe::Recipe& recipe, std::int64_t micro_batch, bool deterministic) {
  tuner::TuneOptions options;
  options.iters = recipe.iters;
  options.batch_size = recipe.batch_size;
  options.gradient_accumulate_steps = recipe.gradient_accumulate_steps;
  options.micro_batch = micro_batch;
  options.lr = recipe.lr.value_or(0.0);
  options.minmax_lr = recipe.minmax_lr.value_or(0.0);
  options.momentum = recipe.momentum;
  options.dynamic_max_gap = recipe.dynamic_max_gap;
  options.enable_minmax_tuning = recipe.enable_minmax_tuning;
  options.not_use_best_mse = recipe.not_use_best_mse;
  options.search_scales = recipe.searches_scales();
  options.arithmetic = {.fused = recipe.enable_torch_compile, .deterministic = deterministic};
  options.rtn_on_nan = recipe.on_nan == recipe::OnNan::rtn;
  options.observe_cache = recipe.kv_cache_scheme.has_value();
  options.seed = static_cast<std::uint64_t>(recipe.seed);
  return options;
}

void check_tuning(const recipe::Recipe& recipe, const std::string& linear, const recipe::QuantizationScheme& scheme,
                  const quant::WeightFormat& format) {
  if (recipe.iters == 0) return;
  const auto refuse = [&](const char* key, const char* what) {
    fail(Code::unsupported, key,
         linear + " has " + recipe::describe(scheme) + "; " + what + ". Leave " + key + " out, or change its scheme");
  };
  if (recipe.momentum != 0.0 && !quant::can_have_momentum(format))
    refuse("momentum", "only steps of integers without super groups can have momentum");
  if (recipe.enable_alg_ext && !quant::can_search_scales(format))
    refuse("enable_alg_ext", "SignRoundV2 tunes symmetric integers, super groups, MX formats and NVFP4");
}

}  // namespace autoround::modifier
