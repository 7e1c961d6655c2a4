// Times the tuning of the first layers of a model on given token ids; prints one JSON object. iteration.py runs it
// beside auto-round; alone it serves to profile a change:
//   block_bench --model DIR --ids FILE [--samples 32] [--length 256] [--batch 8] [--layers 2] [--iters 20]
//               [--threads 2] [--bits 4] [--group 64] [--device cpu] [--plain] [--profile]
// FILE holds samples * length token ids as native int64.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "checkpoint/checkpoint.hpp"
#include "device/device.hpp"
#include "model/causal_lm.hpp"
#include "tuner/block_tuner.hpp"

namespace autoround {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Arguments {
  std::string model, ids, device = "cpu";
  std::int64_t samples = 32, length = 256, batch = 8, layers = 2, iters = 20, threads = 2, bits = 4, group = 64;
  bool plain = false, profile = false;
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  const std::map<std::string, std::string*> texts{
      {"--model", &arguments.model}, {"--ids", &arguments.ids}, {"--device", &arguments.device}};
  const std::map<std::string, std::int64_t*> numbers{
      {"--samples", &arguments.samples}, {"--length", &arguments.length}, {"--batch", &arguments.batch},
      {"--layers", &arguments.layers},   {"--iters", &arguments.iters},   {"--threads", &arguments.threads},
      {"--bits", &arguments.bits},       {"--group", &arguments.group}};
  const std::map<std::string, bool*> switches{{"--plain", &arguments.plain}, {"--profile", &arguments.profile}};
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
  return arguments;
}

at::Tensor read_ids(const Arguments& arguments) {
  at::Tensor ids = at::empty({arguments.samples, arguments.length}, at::kLong);
  std::ifstream file(arguments.ids, std::ios::binary);
  file.read(static_cast<char*>(ids.mutable_data_ptr()), static_cast<std::streamsize>(ids.nbytes()));
  if (!file) fail(Code::io, arguments.ids, "does not hold " + std::to_string(ids.numel()) + " int64 token ids");
  return ids;
}

/// Processor time of all threads spent in each operation and autograd node itself, without those it calls: unlike wall
/// time it says something on a busy machine too (with OMP_WAIT_POLICY=passive, or waiting counts). Lives on one thread.
class Profile {
 public:
  Profile() {
    current = this;
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(&enter, &leave)
                                             .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  }
  ~Profile() {
    at::removeCallback(handle_);
    current = nullptr;
  }
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  /// What lies between the end of one iteration and the end of the next counts; outside operations it is "(rest)".
  void iteration_ended() {
    const double now = processor_seconds();
    if (running_) {
      ++iterations_;
      self_["(rest)"] += now - since_ - top_;
    }
    running_ = true;
    since_ = now;
    top_ = 0.0;
  }
  void pause() { running_ = false; }

  void print(std::FILE* out) const {
    std::vector<std::pair<double, std::string>> rows;
    double sum = 0.0;
    for (const auto& [name, seconds] : self_) {
      rows.emplace_back(1e3 * seconds / static_cast<double>(iterations_), name);
      sum += rows.back().first;
    }
    std::sort(rows.rbegin(), rows.rend());
    for (const auto& [milliseconds, name] : rows) {
      if (milliseconds >= 0.02) std::fprintf(out, "%8.3f ms/iteration  %s\n", milliseconds, name.c_str());
    }
    std::fprintf(out, "%8.3f ms/iteration  in all, processor time of all threads\n", sum);
  }

 private:
  struct Frame {
    double start = 0.0, children = 0.0;
  };

  static double processor_seconds() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }
  static std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction&) {
    current->frames_.push_back({processor_seconds()});
    return nullptr;
  }
  static void leave(const at::RecordFunction& function, at::ObserverContext*) {
    const Frame frame = current->frames_.back();
    current->frames_.pop_back();
    if (!current->running_) return;
    const double inclusive = processor_seconds() - frame.start;
    current->self_[function.name()] += inclusive - frame.children;
    (current->frames_.empty() ? current->top_ : current->frames_.back().children) += inclusive;
  }

  static thread_local Profile* current;
  at::CallbackHandle handle_ = 0;
  bool running_ = false;
  double since_ = 0.0, top_ = 0.0;  // start of the iteration, time in operations since then
  std::int64_t iterations_ = 0;
  std::vector<Frame> frames_;
  std::map<std::string, double> self_;
};
thread_local Profile* Profile::current = nullptr;

/// The most that LibTorch's allocator held at a time.
std::int64_t peak_bytes(c10::Device device) {
  if (device.is_cpu()) return 0;
  constexpr auto all = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return c10::getDeviceAllocator(device.type())->getDeviceStats(device.index()).allocated_bytes[all].peak;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0.0;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

void run(const Arguments& arguments) {
  at::set_num_threads(static_cast<int>(arguments.threads));
  const c10::Device device = device::parse(arguments.device);
  const device::Scope scope(device);
  const auto checkpoint = checkpoint::Checkpoint::open(arguments.model, Logger());
  const model::CausalLm lm(model::read_spec(checkpoint->config()),
                           model::on_device(model::checkpoint_weights(checkpoint), device),
                           device.is_cpu() ? model::preferred_compute_type() : at::kBFloat16);
  const auto ids = read_ids(arguments);

  tuner::TuneOptions options;
  options.iters = arguments.iters;
  options.batch_size = arguments.batch;
  options.fused = !arguments.plain;
  quant::WeightFormat format;
  format.bits = static_cast<int>(arguments.bits);
  format.group = arguments.group;

  const at::NoGradGuard no_grad;
  const auto ops = model::make_ops(device, /*fused=*/true);
  tuner::BlockData data;
  data.length = arguments.length;
  data.lengths.assign(static_cast<std::size_t>(arguments.samples), arguments.length);
  data.input = lm.embed(ids);
  at::Tensor full_precision = data.input;
  std::vector<double> iterations;
  double total = 0.0, loss = 0.0, rtn_loss = 0.0;
  std::unique_ptr<Profile> profile;
  if (arguments.profile) profile = std::make_unique<Profile>();

  for (std::int64_t index = 0; index < arguments.layers; ++index) {
    const auto start = Clock::now();
    const auto layer = lm.load_layer(static_cast<std::size_t>(index));
    const tuner::DecoderBlock block(*layer, lm.rope(static_cast<std::size_t>(index), arguments.length));
    data.target = full_precision = tuner::run_block(block, full_precision, arguments.length, arguments.batch, *ops, {});
    std::map<std::string, quant::WeightFormat> formats;
    for (const auto* projection : layer->projections()) {
      for (const auto& part : projection->parts) formats[part.name] = format;
    }
    auto last = Clock::time_point();
    const auto result = tuner::tune_block(
        block, data, formats, options, {},
        [&](const tuner::Iteration& iteration) {
          const auto now = Clock::now();
          if (iteration.index > 0) iterations.push_back(std::chrono::duration<double>(now - last).count());
          last = now;
          if (profile) profile->iteration_ended();
        },
        Logger());
    if (profile) profile->pause();
    data.input = result.output;
    loss = result.loss;
    rtn_loss = result.rtn_loss;
    device::synchronize(device);
    total += seconds_since(start);
  }
  if (profile) profile->print(stderr);
  std::printf(
      "{\"seconds\": %.6f, \"iteration\": %.6f, \"loss\": %.9g, \"rtn_loss\": %.9g, \"kernel\": \"%s\", "
      "\"device_peak_bytes\": %lld}\n",
      total, median(iterations), loss, rtn_loss, quant::kernel_name(), static_cast<long long>(peak_bytes(device)));
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
