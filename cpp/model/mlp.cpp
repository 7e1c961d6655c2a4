#include "model/mlp.hpp"

#include <ATen/ATen.h>

namespace autoround::model {
namespace {

std::vector<Projection::Part> up_parts(const LayerNames& names, const MlpSpec& mlp, const std::string& prefix) {
  if (!mlp.gated) return {{.name = prefix + names.up, .rows = mlp.intermediate}};
  if (mlp.fused_gate_up) return {{.name = prefix + names.gate_up, .rows = 2 * mlp.intermediate}};
  return {{.name = prefix + names.gate, .rows = mlp.intermediate},
          {.name = prefix + names.up, .rows = mlp.intermediate}};
}

}  // namespace

Mlp Mlp::load(const DecoderSpec& spec, const MlpSpec& mlp, const std::string& layer, const WeightSource& weights,
              at::ScalarType dtype) {
  const std::string prefix = spec.names.mlp_prefix(layer);
  Mlp loaded;
  loaded.spec_ = mlp;
  loaded.up_ = load_projection(weights, up_parts(spec.names, mlp, prefix), spec.hidden_size, mlp.bias, dtype);
  loaded.down_ = load_projection(weights, {{.name = prefix + spec.names.down, .rows = spec.hidden_size}},
                                 mlp.intermediate, mlp.bias, dtype);
  return loaded;
}

at::Tensor Mlp::forward(at::Tensor x, Ops& ops) const {
  const at::Tensor up = ops.linear(up_, x);
  x.reset();
  return ops.linear(down_,
                    spec_.gated ? ops.gated_activation(up, spec_.activation) : ops.activation(up, spec_.activation));
}

}  // namespace autoround::model
