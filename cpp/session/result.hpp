// What a run leaves behind: statistics of each block, what happened to each layer, and the tensors when no output
// directory was given.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "quant/weight_format.hpp"

namespace autoround::session {

struct BlockStats {
  std::string name;
  double rtn_loss = 0.0, loss = 0.0;
  std::int64_t best_iteration = -1;
  double seconds = 0.0;
  std::vector<float> losses;
  bool fell_back = false;
};

struct LayerStats {
  std::string name, scheme;  // scheme "" when not quantized
  std::string reason;        // why not
  std::vector<std::int64_t> shape;
  double bits_per_weight = 0.0;  // scales and zero points included
};

struct Result {
  std::vector<BlockStats> blocks;
  std::vector<LayerStats> layers;               // every linear, in module order
  std::vector<quant::QuantizedWeight> tensors;  // empty when outputs were written
  std::vector<std::string> warnings;
  bool wrote_outputs = false;
  std::string report_json;

  std::string report_html() const;  // one self-contained page made from report_json
};

}  // namespace autoround::session
