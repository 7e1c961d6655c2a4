#include "session/data.hpp"

#include <numeric>

#include "base/error.hpp"

namespace autoround::session {

void check_token_ids(const calibration::SampleSet& data, std::size_t samples, std::int64_t vocab_size) {
  const auto length = static_cast<std::size_t>(data.sequence_length());
  for (std::size_t i = 0; i < samples * length; ++i) {
    const std::int64_t id = data.ids()[i];
    if (id < 0 || id >= vocab_size)
      fail(Code::invalid_argument, "calibration",
           "sample " + std::to_string(i / length) + ", token " + std::to_string(i % length) + ": id " +
               std::to_string(id) + " is outside the model's vocabulary of " + std::to_string(vocab_size));
  }
}

std::int64_t real_tokens(const calibration::SampleSet& data, std::size_t samples) {
  return std::accumulate(data.lengths().begin(), data.lengths().begin() + static_cast<std::ptrdiff_t>(samples),
                         std::int64_t{0});
}

void log_data(const calibration::SampleSet& data, std::size_t samples, const recipe::Recipe& recipe,
              const Logger& log) {
  const std::int64_t tokens = real_tokens(data, samples);
  const std::int64_t padding = static_cast<std::int64_t>(samples) * data.sequence_length() - tokens;
  log.info("calibration: " + std::to_string(samples) + " of " + std::to_string(data.size()) + " samples, " +
           std::to_string(tokens) + " tokens, " + std::to_string(padding) + " padding (masked)");
  if (static_cast<std::int64_t>(samples) < recipe.nsamples)
    log.info("calibration: the recipe allows " + std::to_string(recipe.nsamples) + " samples, " +
             std::to_string(samples) + " were given");
}

}  // namespace autoround::session
