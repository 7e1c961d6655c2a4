// Tunes one decoder layer: signed gradient descent on rounding and clipping so that the layer, fed with the quantized
// stream, reproduces the full-precision layer's output. Knows one block; no files, no models, no recipes.
// Source: AutoRound (arXiv 2309.05516), numerics of auto-round 0.15.1 as written down in docs/algorithm.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "base/log.hpp"
#include "model/decoder_layer.hpp"
#include "quant/rounding.hpp"

namespace autoround::tuner {

struct TuneOptions {
  std::int64_t iters = 200;  // 0: round-to-nearest
  std::int64_t batch_size = 8;
  std::int64_t gradient_accumulate_steps = 1;
  double lr = 0.0;         // 0: 1/iters (2/iters from 1000 iterations on for layers of at most 3 bits)
  double minmax_lr = 0.0;  // 0: as lr
  double momentum = 0.0;   // of the signed steps; not 0: they are taken by plain operations
  std::int64_t dynamic_max_gap = -1;
  bool enable_minmax_tuning = true;
  bool not_use_best_mse = false;
  bool fused = true;        // fused kernels, or plain LibTorch operations
  bool rtn_on_nan = false;  // a NaN or exploding loss: false = NUMERIC error, true = round-to-nearest and `fell_back`
  std::uint64_t seed = 42;
};

/// Both streams of one block: [samples * length, hidden] in compute dtype, sample-major.
struct BlockData {
  at::Tensor input;                   // what the tuned layer sees (quantized stream)
  at::Tensor target;                  // what it should give (full-precision layer on the full-precision stream)
  std::vector<std::int64_t> lengths;  // real tokens of each sample; the rest is padding, which no loss counts
  std::int64_t length = 0;            // tokens of a sample with padding
  const model::RopeTable* rope = nullptr;
};

struct Iteration {
  std::int64_t index = 0;
  double loss = 0.0, best_loss = 0.0;
  std::int64_t best_index = 0;
};

struct BlockResult {
  std::vector<quant::QuantizedWeight> weights;  // one per quantized linear, in forward order
  at::Tensor output;                            // quantized layer on `input`: the quantized stream of the next block
  double rtn_loss = 0.0;                        // over all samples, mean squared error on real tokens, round-to-nearest
  double loss = 0.0;                            // the same with the tuned parameters
  std::int64_t best_iteration = -1;             // -1: round-to-nearest was kept
  std::vector<float> losses;                    // of each iteration's minibatch
  bool fell_back = false;                       // on_nan: rtn was needed
  double seconds = 0.0;
};

/// Tunes the linears of `layer` named in `formats` and leaves the layer with quantized-dequantized weights.
/// `on_iteration` is called after each; cancel is checked before each.
/// @throws Error numeric (subject = layer name), cancelled
BlockResult tune_block(model::DecoderLayer& layer, const BlockData& data,
                       const std::map<std::string, quant::WeightFormat>& formats, const TuneOptions& options,
                       const CancelToken& cancel, const std::function<void(const Iteration&)>& on_iteration,
                       const Logger& log);

/// The `output` that tune_block gave with these weights: a block that was tuned before is run, not tuned again. Leaves
/// the layer with quantized-dequantized weights.
at::Tensor rerun_block(model::DecoderLayer& layer, const BlockData& data,
                       const std::vector<quant::QuantizedWeight>& weights, const TuneOptions& options,
                       const CancelToken& cancel);

/// Runs a layer over all samples in chunks of `batch` samples, without gradients. -> [samples * length, hidden]
at::Tensor run_layer(const model::DecoderLayer& layer, const at::Tensor& input, std::int64_t length, std::int64_t batch,
                     const model::RopeTable* rope, model::Ops& ops, const CancelToken& cancel);

}  // namespace autoround::tuner
