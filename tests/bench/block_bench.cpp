// Times the tuning of the first layers of a model on given token ids; prints one JSON object. speed.py runs it beside
// auto-round; alone it serves to profile a change:
//   block_bench --model DIR --ids FILE [--samples 32] [--length 256] [--batch 8] [--layers 2] [--iters 20] [--low 0]
//               [--threads 2] [--bits 4] [--group-size 64] [--asymmetric] [--preset NAME] [--device cpu] [--plain]
//               [--profile] [--turns]
// FILE holds samples * length token ids as native int64. "iteration" is the median time between two iterations of any
// layer, "slope" the mean between the ends of iterations --low (0: start of the layer) and --iters of the last one,
// "outside" what that layer costs beside its iterations: from the last one of the layer before to its own first, less
// one. --turns: goes round and round, an iteration for each byte of standard input, until it ends; prints the seconds
// of each (turns.py).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "checkpoint/checkpoint.hpp"
#include "device/device.hpp"
#include "median.hpp"
#include "model/causal_lm.hpp"
#include "model/mapped_memory.hpp"
#include "profile.hpp"
#include "recipe/scheme.hpp"
#include "tuner/block_tuner.hpp"

namespace autoround {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Arguments {
  std::string model, ids, preset, device = "cpu";
  std::int64_t samples = 32, length = 256, batch = 8, layers = 2, iters = 20, low = 0, threads = 2, bits = 4;
  std::int64_t group = 64;
  bool asymmetric = false, plain = false, profile = false, turns = false;
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  const std::map<std::string, std::string*> texts{{"--model", &arguments.model},
                                                  {"--ids", &arguments.ids},
                                                  {"--preset", &arguments.preset},
                                                  {"--device", &arguments.device}};
  const std::map<std::string, std::int64_t*> numbers{
      {"--samples", &arguments.samples}, {"--length", &arguments.length}, {"--batch", &arguments.batch},
      {"--layers", &arguments.layers},   {"--iters", &arguments.iters},   {"--low", &arguments.low},
      {"--threads", &arguments.threads}, {"--bits", &arguments.bits},     {"--group-size", &arguments.group}};
  const std::map<std::string, bool*> switches{{"--asymmetric", &arguments.asymmetric},
                                              {"--plain", &arguments.plain},
                                              {"--profile", &arguments.profile},
                                              {"--turns", &arguments.turns}};
  for (int i = 1; i < argc; ++i) {
    const std::string key = argv[i];
    if (const auto flag = switches.find(key); flag != switches.end()) {
      *flag->second = true;
      continue;
    }
    if (i + 1 == argc) fail(Code::invalid_argument, key, "unknown switch or missing value");
    const std::string value = argv[++i];
    if (const auto text = texts.find(key); text != texts.end()) {
      *text->second = value;
    } else if (const auto number = numbers.find(key); number != numbers.end()) {
      *number->second = std::stoll(value);
    } else {
      fail(Code::invalid_argument, key, "unknown argument");
    }
  }
  if (arguments.low < 0 || arguments.low >= arguments.iters)
    fail(Code::invalid_argument, "--low", "is to be below --iters");
  return arguments;
}

/// Integers as --bits, --group-size and --asymmetric say, or a preset as it is.
quant::WeightFormat format_of(const Arguments& arguments) {
  constexpr auto scale_type = at::kHalf;  // auto-round's
  if (!arguments.preset.empty())
    return quant::weight_format(recipe::preset_scheme(arguments.preset, "--preset"), scale_type);
  quant::WeightFormat format;
  format.bits = static_cast<int>(arguments.bits);
  format.group = arguments.group;
  format.symmetric = !arguments.asymmetric;
  format.scale_type = scale_type;
  return format;
}

at::Tensor read_ids(const Arguments& arguments) {
  at::Tensor ids = at::empty({arguments.samples, arguments.length}, at::kLong);
  std::ifstream file(arguments.ids, std::ios::binary);
  file.read(static_cast<char*>(ids.mutable_data_ptr()), static_cast<std::streamsize>(ids.nbytes()));
  if (!file) fail(Code::io, arguments.ids, "does not hold " + std::to_string(ids.numel()) + " int64 token ids");
  return ids;
}

/// Says how long the last iteration took, unless it has said so, and waits until the next is wanted. The first of a
/// layer is none, nor waited for but once: it belongs to the one before. Ends the program when no more are wanted.
void take_turn(std::vector<double>& unsaid) {
  static bool begun = false;
  if (unsaid.empty() && std::exchange(begun, true)) return;
  for (const double seconds : unsaid) std::printf("%.6f\n", seconds);
  std::fflush(stdout);
  unsaid.clear();
  if (std::getchar() == EOF) std::_Exit(0);
}

/// The most that LibTorch's allocator held at a time.
std::int64_t peak_bytes(c10::Device device) {
  if (device.is_cpu()) return 0;
  constexpr auto all = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return c10::getDeviceAllocator(device.type())->getDeviceStats(device.index()).allocated_bytes[all].peak;
}

void run(const Arguments& arguments) {
  at::set_num_threads(static_cast<int>(arguments.threads));
  const c10::Device device = device::parse(arguments.device);
  const device::Scope scope(device);
  const model::KeptMemory::Scope memory;
  const auto checkpoint = checkpoint::Checkpoint::open(arguments.model, Logger());
  const model::CausalLm lm(model::read_spec(checkpoint->config()),
                           model::on_device(model::checkpoint_weights(checkpoint), device),
                           device.is_cpu() ? model::preferred_compute_type() : at::kBFloat16);
  const auto ids = read_ids(arguments);

  tuner::TuneOptions options;
  options.iters = arguments.iters;
  options.batch_size = arguments.batch;
  options.arithmetic.fused = !arguments.plain;
  const quant::WeightFormat format = format_of(arguments);

  const at::NoGradGuard no_grad;
  const auto ops = model::make_ops(device, {});
  tuner::BlockData data;
  data.length = arguments.length;
  data.lengths.assign(static_cast<std::size_t>(arguments.samples), arguments.length);
  at::Tensor full_precision;
  std::vector<double> iterations;
  double total = 0.0, slope = 0.0, outside = 0.0, loss = 0.0, rtn_loss = 0.0;
  auto last = Clock::now();
  std::unique_ptr<bench::Profile> profile;
  if (arguments.profile) profile = std::make_unique<bench::Profile>();

  for (std::int64_t count = 0; arguments.turns || count < arguments.layers; ++count) {
    const auto start = Clock::now();
    const auto index = static_cast<std::size_t>(count % arguments.layers);
    if (index == 0) data.input = full_precision = lm.embed(ids);
    const auto layer = lm.load_layer(index);
    const tuner::DecoderBlock decoder(*layer, lm.rope(index, arguments.length));
    std::unique_ptr<tuner::Block> profiled;
    if (profile) profiled = std::make_unique<bench::ProfiledBlock>(*profile, decoder);
    const tuner::Block& block = profiled ? *profiled : static_cast<const tuner::Block&>(decoder);
    data.target = full_precision = tuner::run_block(block, full_precision, arguments.length, arguments.batch, *ops, {});
    std::map<std::string, quant::WeightFormat> formats;
    for (const auto* projection : layer->projections()) {
      for (const auto& part : projection->parts) formats[part.name] = format;
    }
    auto low = Clock::now();
    double until_first = 0.0;
    const auto result = tuner::tune_block(
        block, data, formats, options, {},
        [&](const tuner::Iteration& iteration) {
          const auto now = Clock::now();
          const double since_last = std::chrono::duration<double>(now - last).count();
          if (iteration.index == 0) until_first = since_last;
          if (iteration.index > 0) iterations.push_back(since_last);
          if (arguments.turns) take_turn(iterations);
          last = Clock::now();
          if (iteration.index + 1 == arguments.low) low = now;
          if (profile) profile->iteration_ended();
          if (profile && iteration.index + 1 == arguments.iters) profile->pause();
        },
        Logger());
    slope = std::chrono::duration<double>(last - low).count() / static_cast<double>(arguments.iters - arguments.low);
    outside = until_first - slope;
    data.input = result.output;
    loss = result.loss;
    rtn_loss = result.rtn_loss;
    device::synchronize(device);
    total += seconds_since(start);
  }
  if (profile) profile->print(stderr);
  std::printf(
      "{\"seconds\": %.6f, \"iteration\": %.6f, \"slope\": %.6f, \"outside\": %.6f, \"loss\": %.9g, "
      "\"rtn_loss\": %.9g, \"kernel\": \"%s\", \"compute\": \"%s\", \"device_peak_bytes\": %lld%s%s}\n",
      total, bench::median(iterations), slope, outside, loss, rtn_loss, quant::kernel_name(),
      c10::toString(data.input.scalar_type()), static_cast<long long>(peak_bytes(device)),
      profile ? ", \"profile\": " : "", profile ? profile->json().c_str() : "");
}

}  // namespace
}  // namespace autoround

int main(int argc, char** argv) {
  try {
    autoround::run(autoround::parse(argc, argv));
    return 0;
  } catch (const autoround::Error& error) {
    std::fprintf(stderr, "block_bench: %s: %s\n", error.subject().c_str(), error.what());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "block_bench: %s\n", error.what());
  }
  return 1;
}
