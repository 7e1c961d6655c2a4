// The account of a run: what was computed from what, block by block and layer by layer, as JSON for programs and as one
// self-contained HTML page for people.
#pragma once

#include <string>
#include <vector>

#include "base/stopwatch.hpp"
#include "calibration/sample_set.hpp"
#include "recipe/matching.hpp"
#include "session/model.hpp"
#include "session/options.hpp"
#include "session/result.hpp"

namespace autoround::session {

/// Every linear with its scheme or the reason why it has none, in module order.
std::vector<LayerStats> layer_stats(const recipe::Assignment& assignment);
/// Codes, scales and zero points as they are stored, by weight.
double bits_per_weight(const quant::QuantizedWeight& weight);
std::int64_t peak_memory_bytes();  // of the process, its high-water mark; 0 when the system does not tell

/// What was quantized on which data. Of a layer that a host brought: no directory, and "Linear" for an architecture.
struct RunFacts {
  std::string directory, architecture;
  std::int64_t parameters = 0;
  std::uint64_t bytes = 0;  // of its full-precision tensors
  std::size_t samples = 0;
  std::int64_t sequence_length = 0, tokens = 0;  // with padding; without, of all samples
  std::uint64_t output_bytes = 0;
};

std::string report_json(const RunFacts& facts, const recipe::Recipe& recipe, const Options& options,
                        const Result& result, const Stopwatch& clock);
std::string report_json(const Model& model, const recipe::Recipe& recipe, const Options& options,
                        const calibration::SampleSet* data, std::size_t samples, const Result& result,
                        std::uint64_t output_bytes, const Stopwatch& clock);
std::string report_html(const std::string& report_json);

}  // namespace autoround::session
