// The feed-forward branch of a decoder layer: a multilayer perceptron, gated or not.
#pragma once

#include <string>
#include <vector>

#include "model/ops.hpp"
#include "model/projection.hpp"
#include "model/weight_source.hpp"

namespace autoround::model {

class Mlp {
 public:
  /// @param layer name of the layer, "model.layers.0"
  /// @throws Error as WeightSource::load_into
  static Mlp load(const DecoderSpec& spec, const MlpSpec& mlp, const std::string& layer, const WeightSource& weights,
                  at::ScalarType dtype);

  std::vector<Projection*> projections() { return {&up_, &down_}; }

  /// x: [B*S, H], normed, let go of as soon as it was multiplied -> [B*S, H], before any norm of the output
  at::Tensor forward(at::Tensor x, Ops& ops) const;

 private:
  MlpSpec spec_;
  Projection up_, down_;  // up_: gate and up where the spec is gated
};

}  // namespace autoround::model
