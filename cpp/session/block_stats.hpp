// What tuning one block came to, and its form as JSON: the report shows it, the journal of a run keeps it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.hpp"

namespace autoround::session {

struct BlockStats {
  std::string name;
  double rtn_loss = 0.0, loss = 0.0;  // NaN without calibration data
  std::int64_t best_iteration = -1;
  double seconds = 0.0;
  std::vector<float> losses;
  bool fell_back = false;
  std::int64_t experts = 0, idle_experts = 0;  // of the layer; those that no calibration token went to
};

Json block_json(const BlockStats& block);  // null for what is not finite
/// @throws Error parse
BlockStats read_block_stats(const JsonView& json);

}  // namespace autoround::session
