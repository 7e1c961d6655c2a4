// The account of a run: what was computed from what, block by block and layer by layer, as JSON for programs and as one
// self-contained HTML page for people.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "calibration/sample_set.hpp"
#include "recipe/matching.hpp"
#include "session/model.hpp"
#include "session/options.hpp"
#include "session/result.hpp"

namespace autoround::session {

class RunClock {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Every linear with its scheme or the reason why it has none, in module order.
std::vector<LayerStats> layer_stats(const recipe::Assignment& assignment, const recipe::Recipe& recipe);
/// Codes, scales and zero points as they are stored, by weight.
double bits_per_weight(const quant::QuantizedWeight& weight);
std::int64_t peak_memory_bytes();  // of the process, its high-water mark; 0 when the system does not tell

std::string report_json(const Model& model, const recipe::Recipe& recipe, const Options& options,
                        const calibration::SampleSet* data, std::size_t samples, const Result& result,
                        std::uint64_t output_bytes, const RunClock& clock);
std::string report_html(const std::string& report_json);

}  // namespace autoround::session
