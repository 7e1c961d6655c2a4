// Tunes the first layers of a model, together, on given token ids, for compare_tuner.py.
// usage: tuner_tool MODEL_DIR IDS SAMPLES LENGTH REAL_TOKENS ITERS RATE LAYERS
// IDS: samples * length token ids as native int64. The first REAL_TOKENS of each sample count in the loss.
// Prints one JSON object: the loss of each iteration, and over all samples before and after tuning.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "checkpoint/checkpoint.hpp"
#include "model/causal_lm.hpp"
#include "tuner/block_tuner.hpp"

namespace autoround {
namespace {

void run(char** arguments) {
  const auto checkpoint = checkpoint::Checkpoint::open(arguments[0], Logger());
  const auto weights = model::checkpoint_weights(checkpoint);
  const model::CausalLm lm(model::read_spec(checkpoint->config()), weights, at::kBFloat16);
  tuner::BlockData data;
  const std::int64_t samples = std::stoll(arguments[2]);
  data.length = std::stoll(arguments[3]);
  data.lengths.assign(static_cast<std::size_t>(samples), std::stoll(arguments[4]));
  at::Tensor ids = at::empty({samples, data.length}, at::kLong);
  std::ifstream file(arguments[1], std::ios::binary);
  file.read(static_cast<char*>(ids.mutable_data_ptr()), static_cast<std::streamsize>(ids.nbytes()));
  if (!file) fail(Code::io, arguments[1], "holds too few token ids");

  const at::NoGradGuard no_grad;
  model::AtenOps ops;
  std::vector<std::unique_ptr<model::DecoderLayer>> layers;
  std::vector<tuner::DecoderBlock::Step> steps;
  for (std::size_t i = 0; i < std::stoull(arguments[7]); ++i) {
    layers.push_back(lm.load_layer(i));
    steps.push_back({layers.back().get(), lm.rope(i, data.length)});
  }
  data.input = lm.embed(ids);
  const tuner::DecoderBlock block(steps);
  data.target = tuner::run_block(block, data.input, data.length, 8, ops, {});

  quant::WeightFormat format;
  format.group = 64;
  std::map<std::string, quant::WeightFormat> formats;
  for (const auto* projection : block.projections()) {
    for (const auto& part : projection->parts) formats[part.name] = format;
  }
  tuner::TuneOptions options;
  options.iters = std::stoll(arguments[5]);
  options.lr = std::stod(arguments[6]);
  const auto result = tuner::tune_block(block, data, formats, options, {}, {}, Logger());
  std::printf("{\"rtn_loss\": %.9g, \"loss\": %.9g, \"losses\": [", result.rtn_loss, result.loss);
  for (std::size_t i = 0; i < result.losses.size(); ++i) {
    std::printf("%s%.9g", i == 0 ? "" : ", ", static_cast<double>(result.losses[i]));
  }
  std::printf("]}\n");
}

}  // namespace
}  // namespace autoround

int main(int argc, char** argv) {
  if (argc != 9) {
    std::fprintf(stderr, "usage: tuner_tool MODEL_DIR IDS SAMPLES LENGTH REAL_TOKENS ITERS RATE LAYERS\n");
    return 2;
  }
  try {
    autoround::run(argv + 1);
    return 0;
  } catch (const autoround::Error& error) {
    std::fprintf(stderr, "tuner_tool: %s: %s\n", error.subject().c_str(), error.what());
  }
  return 1;
}
