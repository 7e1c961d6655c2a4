// What a modifier is: something that changes a model in step with calibration data, told about five events. The session
// drives it; AutoRoundModifier is the one that exists today. Event names follow llm-compressor's Modifier.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "base/log.hpp"
#include "modifier/hooks.hpp"
#include "quant/cache_format.hpp"
#include "quant/weight_format.hpp"
#include "recipe/matching.hpp"
#include "tuner/block_tuner.hpp"

namespace autoround::modifier {

/// The run as a modifier sees it. Borrowed for the whole run.
struct Run {
  const model::DecoderSpec& spec;
  const std::vector<recipe::ModuleInfo>& modules;  // named_modules order
  const model::WeightSource& weights;
  at::ScalarType compute_type;
  quant::ScaleFormat scales;          // as every output stores them
  std::vector<std::int64_t> lengths;  // real tokens of each calibration sample; empty without data
  std::int64_t length = 0;            // tokens of a sample with padding
  HookRegistry& hooks;
  const CancelToken& cancel;
  const Logger& log;
  std::function<void(quant::QuantizedWeight&&)> on_weight;  // a linear is finished
  std::function<void(const quant::CacheScales&)> on_cache;  // the cache of a decoder layer is
  std::function<void(const tuner::Iteration&)> on_iteration;
  std::int64_t micro_batch = 0;     // samples of a pass
  bool deterministic = true;        // Options of the run, or what the device does by itself
  model::StreamArena streams = {};  // where those of all samples are
};

/// The part of the model that the data has just run through.
struct Subgraph {
  std::vector<std::string> modules;               // names
  std::vector<tuner::DecoderBlock::Step> layers;  // the live decoder layers among them, in order

  std::size_t block() const { return layers.front().layer->index(); }  // by its first layer
};

class Modifier {
 public:
  virtual ~Modifier() = default;
  virtual void on_initialize(Run& run) = 0;
  virtual void on_start(Run& run) = 0;
  virtual void on_sequential_epoch_end(Run& run, const Subgraph& subgraph) = 0;
  virtual void on_end(Run& run) = 0;
  virtual void on_finalize(Run& run) = 0;
};

}  // namespace autoround::modifier
