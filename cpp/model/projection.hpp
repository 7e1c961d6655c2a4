// Linear layers that share their input, stored as one row-concatenated weight: q|k|v, gate|up, or a single one.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "model/weight_source.hpp"

namespace autoround::model {

struct Projection {
  struct Part {
    std::string name;  // full module name, "model.layers.0.self_attn.q_proj"
    std::int64_t row = 0, rows = 0;
  };
  at::Tensor weight;  // [sum of rows, in_features], compute dtype, contiguous
  at::Tensor bias;    // [sum of rows] or undefined
  std::vector<Part> parts;
  at::Tensor stack;  // [E, rows, in_features]: of all experts of a layer, a slice of which is `weight`; or undefined
  /// Of a routed expert, to which no token may go: what it does, "gate_up" or "down"; else empty.
  std::string expert_role;
};

/// Linears that share their input of `columns` elements, row under row; `parts` gives names and rows.
/// @param weight where the weight goes, contiguous; undefined: into memory of its own
/// @throws Error as WeightSource::load_into
Projection load_projection(const WeightSource& weights, std::vector<Projection::Part> parts, std::int64_t columns,
                           bool bias, at::ScalarType dtype, at::Tensor weight = {});

}  // namespace autoround::model
