#include "model/families/experts_config.hpp"

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "checkpoint/limits.hpp"

namespace autoround::model {
namespace {

constexpr std::int64_t max_width = std::int64_t{1} << 20;

/// Their number goes by a different name in each family, and transformers 5 writes another one than the hub has.
std::int64_t read_count(const JsonView& text, std::int64_t fallback) {
  for (const char* key : {"num_experts", "num_local_experts", "n_routed_experts"})
    if (text.has(key)) return text.integer(key, 1, checkpoint::max_experts);
  return fallback;
}

std::set<std::int64_t> read_dense_layers(const JsonView& text) {
  std::set<std::int64_t> layers;
  if (!text.has("mlp_only_layers")) return layers;
  const Json& given = text.json().at("mlp_only_layers");
  const bool numbers = given.is_array() && std::all_of(given.begin(), given.end(),
                                                       [](const Json& layer) { return layer.is_number_integer(); });
  if (!numbers) fail(Code::parse, text.subject(), "`mlp_only_layers` must be an array of layer numbers");
  for (const Json& layer : given) layers.insert(layer.get<std::int64_t>());
  return layers;
}

}  // namespace

ExpertsSpec read_experts(const JsonView& text, const ExpertsDefaults& defaults) {
  ExpertsSpec experts;
  experts.router.experts = read_count(text, defaults.experts);
  const std::string chosen = "num_experts_per_tok";
  experts.router.top_k = defaults.top_k > 0 ? text.integer_or(chosen, defaults.top_k, 1, experts.router.experts)
                                            : text.integer(chosen, 1, experts.router.experts);
  experts.intermediate = text.integer_or(defaults.intermediate_key, defaults.intermediate, 1, max_width);
  return experts;
}

void read_corrected_router(RouterSpec& router, const JsonView& text, double scaling) {
  router.scores = RouterSpec::Scores::sigmoid;
  router.wide = true;
  router.correction = true;
  router.normalize = text.boolean_or("norm_topk_prob", true);
  router.scaling = text.number_or("routed_scaling_factor", scaling);
}

void read_groups(RouterSpec& router, const JsonView& text, std::int64_t groups, std::int64_t top_groups,
                 std::int64_t group_best) {
  router.groups = text.integer_or("n_group", groups, 1, router.experts);
  router.top_groups = text.integer_or("topk_group", top_groups, 1, router.groups);
  router.group_best = group_best;
  const std::int64_t size = router.experts / router.groups;
  if (router.experts % router.groups != 0 || size < group_best)
    fail(Code::parse, text.subject(),
         "`n_group` is " + std::to_string(router.groups) + ", which does not divide " + std::to_string(router.experts) +
             " experts into groups of at least " + std::to_string(group_best));
  if (router.top_k > router.top_groups * size)
    fail(Code::parse, text.subject(),
         "`num_experts_per_tok` is " + std::to_string(router.top_k) + "; the " + std::to_string(router.top_groups) +
             " groups of `topk_group` have " + std::to_string(router.top_groups * size) + " experts");
}

void read_shared_experts(ExpertsSpec& experts, const JsonView& text, std::int64_t fallback) {
  experts.shared_intermediate = experts.intermediate * text.integer_or("n_shared_experts", fallback, 1, checkpoint::max_experts);
}

void place_later_experts(DecoderSpec& spec, const ExpertsSpec& experts, const JsonView& text, std::int64_t first) {
  const auto dense = static_cast<std::size_t>(text.integer_or("first_k_dense_replace", first, 0, max_positions));
  for (std::size_t i = dense; i < spec.layers.size(); ++i) spec.layers[i].experts = experts;
}

void place_qwen_experts(DecoderSpec& spec, const ExpertsSpec& experts, const JsonView& text) {
  const std::int64_t step = text.integer_or("decoder_sparse_step", 1, 1, max_positions);
  const std::set<std::int64_t> dense = read_dense_layers(text);
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    const auto layer = static_cast<std::int64_t>(i);
    if ((layer + 1) % step == 0 && dense.count(layer) == 0) spec.layers[i].experts = experts;
  }
}

void require_value(const JsonView& text, const std::string& key, const Json& wanted) {
  if (text.has(key) && text.json().at(key) != wanted)
    fail(Code::unsupported, text.subject(),
         "`" + key + "` is " + text.json().at(key).dump() + "; for this model_type only " + wanted.dump() +
             " is supported");
}

}  // namespace autoround::model
