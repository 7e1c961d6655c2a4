// How a run stays below the host's limit: the way to run that costs least time and changes least, of those that fit.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "base/json.hpp"
#include "base/log.hpp"
#include "model/stream_arena.hpp"
#include "quant/weight_format.hpp"
#include "recipe/recipe.hpp"
#include "session/options.hpp"
#include "session/predict.hpp"

namespace autoround::session {

/// The smallest limit that a run with this predicted peak is sure to keep: by a tenth predictions may be off, and peaks
/// of equal runs differ, as the holes in the C library's heap do.
constexpr std::uint64_t limit_for(std::uint64_t predicted) { return predicted + predicted / 10; }
/// Bytes by which what processes hold when they start differs.
constexpr std::uint64_t start_noise = 10'000'000;
/// The limit that a host is told to give: enough for its next process too and, as people write limits, whole megabytes.
std::uint64_t named_limit(std::uint64_t predicted, at::Device device);

struct MemoryPlan {
  MemoryMode mode;
  at::Device device = at::kCPU;  // whose memory is meant
  std::uint64_t bytes = 0;       // predicted high-water mark
  std::uint64_t smallest = 0;    // limit that a run like this one can stay below
  std::uint64_t limit = 0;       // of the host; 0: none
  bool fits() const noexcept { return limit == 0 || limit_for(bytes) <= limit; }
};

using PredictMemory = std::function<std::uint64_t(const MemoryMode&)>;

/// In order: as the recipe asks; with its streams outside of the memory; with passes of fewer and fewer samples, down
/// to one, which changes the order in which gradients are summed, and nothing else. Where nothing fits, what needs
/// least.
/// @param formats of the linears that are tuned: what some of them do depends on the samples of a pass, which then stay
MemoryPlan plan_memory(const recipe::Recipe& recipe, const RunShape& shape,
                       const std::map<std::string, quant::WeightFormat>& formats, const Options& options,
                       const PredictMemory& predict);
/// @throws Error invalid_argument: the limit cannot be kept; says which can
void check_memory(const MemoryPlan& plan);
Json memory_json(const MemoryPlan& plan);
/// One line about what was chosen.
void log_memory(const MemoryPlan& plan, const recipe::Recipe& recipe, const Logger& log);
/// Alive at once, where so many layers are tuned together: both inputs and the output of a pass, and between the layers
/// of a block its input too.
constexpr std::size_t most_streams(std::int64_t layers) noexcept { return layers > 1 ? 4 : 3; }
/// Where the run has its streams, that many of at most `bytes` each: in memory, or in files beside its first output;
/// those of a device in its memory or the host's.
model::StreamArena make_streams(const MemoryPlan& plan, const Options& options, std::size_t streams,
                                std::uint64_t bytes, const Logger& log);

}  // namespace autoround::session
