// What a run will need, from shapes alone: memory by the sum of what is alive at its peak, time by the arithmetic of
// the tuning loop over a speed measured on the spot.
#pragma once

#include <cstdint>

#include "calibration/sample_set.hpp"
#include "model/causal_lm.hpp"
#include "recipe/matching.hpp"
#include "session/options.hpp"

namespace autoround::session {

struct RunShape {
  std::int64_t samples = 0, length = 0;
  std::int64_t element_bytes = 2;        // of weights and activations while computing
  std::int64_t tuned_weights = 0;        // of the largest block, which is `nblocks` decoder layers
  std::int64_t tuned_weights_total = 0;  // of all blocks
  at::Device device = at::kCPU;          // where the run computes
  std::int64_t other_weights = 0;        // of the block's linears that are not tuned
  std::int64_t lone_weights = 0;         // of the largest linear outside the blocks that is rounded
  bool rounds_inputs = false;            // of any linear, while it is tuned
  std::uint64_t resident = 0;            // bytes that the process holds already
  std::uint64_t kept = 0;                // bytes of results that stay in memory until the end
  bool deterministic = false;            // each time the same gradients, on a device too
};

/// @param data null: the samples that the recipe asks for
RunShape run_shape(const recipe::Assignment& assignment, const recipe::Recipe& recipe,
                   const calibration::SampleSet* data, const Options& options);
/// Bytes of the process that are in memory and in use; 0 when the system does not tell.
std::uint64_t resident_bytes();

/// Ways to run that differ in memory, and in results at most by the order of sums.
struct MemoryMode {
  std::int64_t micro_batch = 0;  // samples of a pass
  bool streams_outside = false;  // of the memory that is meant: those of the CPU in files, of a device in the host's
  bool operator==(const MemoryMode&) const = default;
};

/// High-water mark in bytes: of the process, what it holds now plus what the run keeps alive together at its peak; on a
/// device, of its memory, what the run keeps there.
std::uint64_t predict_memory(const model::DecoderSpec& spec, const recipe::Recipe& recipe, const RunShape& shape,
                             const MemoryMode& mode);
/// The same for one linear layer [out, in] of a host, all of whose weights are tuned.
std::uint64_t predict_layer_memory(std::int64_t out, std::int64_t in, const recipe::Recipe& recipe,
                                   const RunShape& shape, const MemoryMode& mode);
/// Bytes of one stream of all samples.
std::uint64_t stream_bytes(const RunShape& shape, std::int64_t width);

/// Wall-clock seconds of the run on a machine of `flops`.
double predict_seconds(const recipe::Recipe& recipe, const RunShape& shape, double flops);

/// Multiply-adds per second x 2 of a matrix product of this model's width, measured in about a tenth of a second.
double measured_flops(std::int64_t width, std::int64_t element_bytes, at::Device device = at::kCPU);

}  // namespace autoround::session
