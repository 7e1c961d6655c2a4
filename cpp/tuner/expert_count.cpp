#include "tuner/expert_count.hpp"

#include <algorithm>

namespace autoround::tuner {

void ExpertCount::routed(const void* layer, const at::Tensor& experts, std::int64_t count) {
  Layer& counted = layers_[layer];
  counted.reached.resize(static_cast<std::size_t>(count));
  const at::Tensor rows = experts.contiguous().cpu();
  const std::int64_t copies = rows.size(1);
  const auto* expert = rows.const_data_ptr<std::int64_t>();
  for (std::int64_t row = 0; row < rows.size(0); row += data_.length, expert += data_.length * copies) {
    // Padding goes to experts too, and teaches them nothing.
    const std::int64_t real = data_.lengths[counted.sample] * copies;
    for (std::int64_t i = 0; i < real; ++i) counted.reached[static_cast<std::size_t>(expert[i])] = true;
    counted.sample = (counted.sample + 1) % data_.lengths.size();
  }
  inner().routed(layer, experts, count);
}

std::int64_t ExpertCount::experts() const noexcept {
  std::int64_t sum = 0;
  for (const auto& [layer, counted] : layers_) sum += static_cast<std::int64_t>(counted.reached.size());
  return sum;
}

std::int64_t ExpertCount::idle() const noexcept {
  std::int64_t sum = 0;
  for (const auto& [layer, counted] : layers_) sum += std::count(counted.reached.begin(), counted.reached.end(), false);
  return sum;
}

}  // namespace autoround::tuner
