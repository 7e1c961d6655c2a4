#include "tuner/block.hpp"

#include <gsl/assert>
#include <utility>

namespace autoround::tuner {

DecoderBlock::DecoderBlock(std::vector<Step> steps) : steps_(std::move(steps)) {
  Expects(!steps_.empty());
  name_ = steps_.front().layer->name();
  if (steps_.size() > 1) name_.append("-").append(std::to_string(steps_.back().layer->index()));
}

std::vector<model::Projection*> DecoderBlock::projections() const {
  std::vector<model::Projection*> all;
  for (const Step& step : steps_) {
    const auto own = step.layer->projections();
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

at::Tensor DecoderBlock::forward(const at::Tensor& x, std::int64_t samples, model::Ops& ops) const {
  at::Tensor stream = x;
  for (const Step& step : steps_) stream = step.layer->forward(stream, samples, step.rope, ops);
  return stream;
}

}  // namespace autoround::tuner
