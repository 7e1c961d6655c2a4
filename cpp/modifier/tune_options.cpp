#include "modifier/tune_options.hpp"

namespace autoround::modifier {

tuner::TuneOptions tune_options(const recipe::Recipe& recipe) {
  tuner::TuneOptions options;
  options.iters = recipe.iters;
  options.batch_size = recipe.batch_size;
  options.gradient_accumulate_steps = recipe.gradient_accumulate_steps;
  options.lr = recipe.lr.value_or(0.0);
  options.minmax_lr = recipe.minmax_lr.value_or(0.0);
  options.momentum = recipe.momentum;
  options.dynamic_max_gap = recipe.dynamic_max_gap;
  options.enable_minmax_tuning = recipe.enable_minmax_tuning;
  options.not_use_best_mse = recipe.not_use_best_mse;
  options.fused = recipe.enable_torch_compile;
  options.rtn_on_nan = recipe.on_nan == recipe::OnNan::rtn;
  options.seed = static_cast<std::uint64_t>(recipe.seed);
  return options;
}

}  // namespace autoround::modifier
