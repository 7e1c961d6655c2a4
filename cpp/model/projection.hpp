// Linear layers that share their input, stored as one row-concatenated weight: q|k|v, gate|up, or a single one.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace autoround::model {

struct Projection {
  struct Part {
    std::string name;  // full module name, "model.layers.0.self_attn.q_proj"
    std::int64_t row = 0, rows = 0;
  };
  at::Tensor weight;  // [sum of rows, in_features], compute dtype, contiguous
  at::Tensor bias;    // [sum of rows] or undefined
  std::vector<Part> parts;
};

}  // namespace autoround::model
