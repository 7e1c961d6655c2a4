// Everything that the bytes of an output depend on, field by field: a run goes on with what another one left only when
// all of it is the same.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "calibration/sample_set.hpp"
#include "recipe/recipe.hpp"
#include "session/model.hpp"
#include "session/options.hpp"

namespace autoround::session {

/// Names and values for people. A value may have several lines, one a part: a key of the recipe, a file.
using Fingerprint = std::vector<std::pair<std::string, std::string>>;

/// @param micro_batch samples of a pass: the order of sums @throws Error io
Fingerprint fingerprint(const Model& model, const recipe::Recipe& recipe, const calibration::SampleSet* data,
                        std::size_t samples, const Options& options, std::int64_t micro_batch);

/// What the text of /proc/cpuinfo calls the processor. Without a model name, which aarch64 does not print, the numbers
/// of the first core; "" when there are none either.
std::string processor_name(const std::string& cpuinfo);

struct Difference {
  std::string field, then, now;  // of several lines the first that differs; "" when one side has no such line
};
std::optional<Difference> first_difference(const Fingerprint& then, const Fingerprint& now);

}  // namespace autoround::session
