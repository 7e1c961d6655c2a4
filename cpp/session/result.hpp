// What a run leaves behind: statistics of each block, what happened to each layer, and the tensors when no output
// directory was given.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "quant/weight_format.hpp"
#include "session/block_stats.hpp"
#include "session/memory_plan.hpp"

namespace autoround::session {

struct LayerStats {
  std::string name, scheme;  // scheme "" when not quantized
  std::string reason;        // why not
  std::vector<std::int64_t> shape;
  double bits_per_weight = 0.0;  // scales and zero points included
};

/// What a run waited for files; what is read ahead and written meanwhile costs none of it.
struct IoSeconds {
  double reading = 0.0;  // layers, with their conversion
  double writing = 0.0;  // what is copied before the first layer, and the rest of a block when the next one begins
};

struct Result {
  std::vector<BlockStats> blocks;
  std::vector<LayerStats> layers;               // every linear, in module order
  std::vector<quant::QuantizedWeight> tensors;  // empty when outputs were written
  std::vector<std::string> warnings;
  std::size_t resumed_blocks = 0;  // the first ones, which an earlier run tuned; their seconds are of that run
  bool wrote_outputs = false;
  MemoryPlan memory;
  IoSeconds io;
  std::string report_json;

  std::string report_html() const;  // one self-contained page made from report_json
};

}  // namespace autoround::session
