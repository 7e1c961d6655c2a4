// Tunes one block: signed gradient descent on rounding and clipping so that the block, fed with the quantized stream,
// reproduces the full-precision block's output. Knows one block; no files, no models, no recipes.
// Source: AutoRound (arXiv 2309.05516), numerics of auto-round 0.15.1 as written down in docs/algorithm.md.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "base/log.hpp"
#include "model/ops.hpp"
#include "model/stream_arena.hpp"
#include "quant/cache_format.hpp"
#include "quant/rounding.hpp"
#include "tuner/block.hpp"
#include "tuner/importance.hpp"

namespace autoround::tuner {

struct TuneOptions {
  std::int64_t iters = 200;  // 0: round-to-nearest
  std::int64_t batch_size = 8;
  std::int64_t gradient_accumulate_steps = 1;
  std::int64_t micro_batch = 0;  // samples of a pass where a batch takes too much memory; 0: a batch
  double lr = 0.0;               // 0: 1/iters (2/iters from 1000 iterations on for layers of at most 3 bits)
  double minmax_lr = 0.0;        // 0: as lr
  double momentum = 0.0;         // of the signed steps; not 0: they are taken by plain operations
  std::int64_t dynamic_max_gap = -1;
  bool enable_minmax_tuning = true;
  bool not_use_best_mse = false;
  bool search_scales = false;  // tune from searched scales (SignRoundV2), or without iterations round with them
  model::Arithmetic arithmetic;
  bool rtn_on_nan = false;  // a NaN or exploding loss: false = NUMERIC error, true = round-to-nearest and `fell_back`
  bool observe_cache = false;  // find out what the block's attention puts into the cache
  std::uint64_t seed = 42;

  /// Samples of a pass. A step sees the same samples and has the same loss whatever they are: only the order in which
  /// its gradient is summed differs.
  std::int64_t pass_samples() const { return micro_batch > 0 ? std::min(micro_batch, batch_size) : batch_size; }
  std::int64_t step_samples() const { return batch_size * gradient_accumulate_steps; }
};

/// Both streams of one block, in compute dtype, sample-major.
struct BlockData {
  at::Tensor input;                   // [samples * length, in]: what the tuned block sees (quantized stream)
  at::Tensor target;                  // [samples * length, out]: what the full-precision one makes of its own stream
  std::vector<std::int64_t> lengths;  // real tokens of each sample; the rest is padding, which no loss counts
  std::int64_t length = 0;            // tokens of a sample with padding
  Importance importance = {};         // what searched scales are weighed with; empty: all channels count alike
  model::StreamArena streams = {};    // where streams of this shape are made
};

struct Iteration {
  std::int64_t index = 0;
  double loss = 0.0, best_loss = 0.0;
  std::int64_t best_index = 0;
};

struct BlockResult {
  std::vector<quant::QuantizedWeight> weights;  // one per quantized linear, in forward order; in host memory
  at::Tensor output;                            // quantized block on `input`: the quantized stream of the next one
  double rtn_loss = 0.0;                        // over all samples, mean squared error on real tokens, round-to-nearest
  double loss = 0.0;                            // the same with the weights that were kept
  std::int64_t best_iteration = -1;             // -1: tuning was not kept, or there was none
  std::vector<float> losses;                    // of each iteration's minibatch
  bool fell_back = false;                       // on_nan: rtn was needed
  std::int64_t experts = 0, idle_experts = 0;   // of the layer; those that no calibration token went to
  std::vector<quant::CacheRange> cache;         // observe_cache: one a decoder layer, from the weights that were kept
  double seconds = 0.0;
};

/// Tunes the linears of `block` named in `formats` and leaves it with quantized-dequantized weights.
/// `on_iteration` is called after each; cancel is checked before each.
/// @throws Error numeric (subject = block name), cancelled
BlockResult tune_block(const Block& block, const BlockData& data,
                       const std::map<std::string, quant::WeightFormat>& formats, const TuneOptions& options,
                       const CancelToken& cancel, const std::function<void(const Iteration&)>& on_iteration,
                       const Logger& log);

/// The `output` that tune_block gave with these weights: a block that was tuned before is run, not tuned again. Leaves
/// it with quantized-dequantized weights.
at::Tensor rerun_block(const Block& block, const BlockData& data, const std::vector<quant::QuantizedWeight>& weights,
                       const TuneOptions& options, const CancelToken& cancel);

/// Round-to-nearest of the linears of `block` named in `formats`, in forward order: no data needed. Nothing in the
/// block changes. @throws Error numeric (subject = linear)
std::vector<quant::QuantizedWeight> round_block(const Block& block,
                                                const std::map<std::string, quant::WeightFormat>& formats);

/// Runs a block over all samples in chunks of `batch` samples, without gradients.
/// @param input [samples * length, in] -> [samples * length, out], out of `streams`
at::Tensor run_block(const Block& block, const at::Tensor& input, std::int64_t length, std::int64_t batch,
                     model::Ops& ops, const CancelToken& cancel, const model::StreamArena& streams = {});

}  // namespace autoround::tuner
