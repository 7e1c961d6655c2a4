#include "session/block_stats.hpp"

#include <cmath>
#include <limits>

#include "base/error.hpp"

namespace autoround::session {
namespace {

constexpr double none = std::numeric_limits<double>::quiet_NaN();

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace

Json block_json(const BlockStats& block) {
  Json losses = Json::array();
  for (const float loss : block.losses) losses.push_back(finite_or_null(loss));
  Json json = {{"name", block.name},
               {"rtn_loss", finite_or_null(block.rtn_loss)},
               {"loss", finite_or_null(block.loss)},
               {"best_iteration", block.best_iteration},
               {"seconds", block.seconds},
               {"fell_back_to_rtn", block.fell_back},
               {"losses", std::move(losses)}};
  if (block.experts > 0) {
    json["experts"] = block.experts;
    json["idle_experts"] = block.idle_experts;
  }
  return json;
}

BlockStats read_block_stats(const JsonView& json) {
  BlockStats block;
  block.name = json.string("name");
  block.rtn_loss = json.number_or("rtn_loss", none);
  block.loss = json.number_or("loss", none);
  block.best_iteration = json.integer("best_iteration", -1, std::numeric_limits<std::int32_t>::max());
  block.seconds = json.number("seconds");
  block.fell_back = json.boolean_or("fell_back_to_rtn", false);
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  block.experts = json.integer_or("experts", 0, 0, most);
  block.idle_experts = json.integer_or("idle_experts", 0, 0, most);
  const auto losses = json.json().find("losses");
  if (losses == json.json().end() || !losses->is_array()) fail(Code::parse, json.subject(), "`losses` is no list");
  for (const Json& loss : *losses)
    block.losses.push_back(static_cast<float>(loss.is_number() ? loss.get<double>() : none));
  return block;
}

}  // namespace autoround::session
