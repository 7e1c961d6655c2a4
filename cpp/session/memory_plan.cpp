#include "session/memory_plan.hpp"

#include <algorithm>
#include <vector>

#include "base/error.hpp"
#include "base/file.hpp"
#include "base/scratch_memory.hpp"
#include "base/text.hpp"
#include "modifier/tune_options.hpp"
#include "tuner/importance.hpp"

namespace autoround::session {
namespace {

bool splits_batches(const recipe::Recipe& recipe, const std::map<std::string, quant::WeightFormat>& formats) {
  const tuner::TuneOptions tuning = modifier::tune_options(recipe, recipe.batch_size);
  return recipe.iters == 0 || std::none_of(formats.begin(), formats.end(), [&](const auto& format) {
           return tuner::drops_outliers(format.first, format.second, tuning);
         });
}

std::vector<MemoryMode> modes(const recipe::Recipe& recipe, const RunShape& shape, bool splits) {
  std::vector<MemoryMode> all = {{recipe.batch_size, false}};
  if (shape.samples == 0) return all;  // there are no passes
  all.push_back({recipe.batch_size, true});
  for (std::int64_t samples = std::min(recipe.batch_size, shape.samples); splits && samples > 1;) {
    samples = (samples + 1) / 2;
    all.push_back({samples, false});
    all.push_back({samples, true});
  }
  return all;
}

std::uint64_t limit_of(const Options& options) {
  const auto limit = options.memory_limit.find(options.device);
  return limit == options.memory_limit.end() ? 0 : static_cast<std::uint64_t>(limit->second);
}

}  // namespace

std::uint64_t named_limit(std::uint64_t predicted, at::Device device) {
  if (!device.is_cpu()) return limit_for(predicted);  // with nothing of the process in it
  constexpr std::uint64_t megabyte = 1'000'000;
  return (limit_for(predicted + start_noise) + megabyte - 1) / megabyte * megabyte;
}

MemoryPlan plan_memory(const recipe::Recipe& recipe, const RunShape& shape,
                       const std::map<std::string, quant::WeightFormat>& formats, const Options& options,
                       const PredictMemory& predict) {
  MemoryPlan least, chosen;
  for (const MemoryMode& mode : modes(recipe, shape, splits_batches(recipe, formats))) {
    const MemoryPlan plan{.mode = mode, .device = shape.device, .bytes = predict(mode), .limit = limit_of(options)};
    if (least.bytes == 0 || plan.bytes < least.bytes) least = plan;
    if (chosen.bytes == 0 && plan.fits()) chosen = plan;
  }
  if (chosen.bytes == 0) chosen = least;
  chosen.smallest = named_limit(least.bytes, shape.device);
  if (chosen.limit > 0 && chosen.fits()) chosen.smallest = std::min(chosen.smallest, chosen.limit);
  return chosen;
}

void check_memory(const MemoryPlan& plan) {
  if (plan.fits()) return;
  fail(Code::invalid_argument, "memory_limit",
       concat({"the run cannot be sure to stay below ", format_bytes(plan.limit),
               ": the smallest limit that it can keep is ", format_bytes(plan.smallest), " (",
               std::to_string(plan.smallest), " bytes), by prediction; fewer or shorter samples need less"}));
}

Json memory_json(const MemoryPlan& plan) {
  return {{"predicted_bytes", plan.bytes},
          {"limit_bytes", plan.limit},
          {"smallest_limit_bytes", plan.smallest},
          {"streams", !plan.mode.streams_outside ? "memory"
                      : plan.device.is_cpu()     ? "files"
                                                 : "host"},
          {"micro_batch", plan.mode.micro_batch}};
}

void log_memory(const MemoryPlan& plan, const recipe::Recipe& recipe, const Logger& log) {
  std::string line = "memory: " + format_bytes(plan.bytes) + " predicted";
  if (plan.limit > 0) line += ", the limit is " + format_bytes(plan.limit);
  if (plan.mode.streams_outside) line += plan.device.is_cpu() ? "; streams in files" : "; streams in the host's memory";
  if (plan.mode.micro_batch < recipe.batch_size)
    line += "; " + std::to_string(plan.mode.micro_batch) + " of the " + std::to_string(recipe.batch_size) +
            " samples of a batch at a time";
  log.info(line);
}

model::StreamArena make_streams(const MemoryPlan& plan, const Options& options, std::size_t streams,
                                std::uint64_t bytes, const Logger& log) {
  if (!plan.mode.streams_outside) return {};
  if (!plan.device.is_cpu()) return model::StreamArena::on_host();
  const std::string directory =
      options.outputs.empty() ? temporary_directory() : staging_parent(options.outputs.front().directory);
  const Storage storage = storage_of(directory);
  if (storage == Storage::memory)
    log.warn(directory + ": its files are in memory themselves; streams there leave this process, not the machine");
  if (storage == Storage::copy_on_write)
    log.warn(directory +
             ": its file system writes over nothing in place, so that the space reserved for streams is not sure to "
             "be there, and a full disk ends the process (SIGBUS); have the first output, or TMPDIR where there is "
             "none, on another one");
  return {directory, streams, bytes};
}

}  // namespace autoround::session
