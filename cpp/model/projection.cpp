#include "model/projection.hpp"

#include <utility>

#include "model/mapped_memory.hpp"

namespace autoround::model {

Projection load_projection(const WeightSource& weights, std::vector<Projection::Part> parts, std::int64_t columns,
                           bool bias, at::ScalarType dtype, at::Tensor weight) {
  std::int64_t rows = 0;
  for (Projection::Part& part : parts) {
    part.row = rows;
    rows += part.rows;
  }
  Projection projection;
  projection.weight = weight.defined() ? std::move(weight) : lasting_tensor({rows, columns}, dtype, weights.device());
  if (bias) projection.bias = weights.memory({rows}, dtype);
  for (const Projection::Part& part : parts) {
    weights.load_into(part.name + ".weight", projection.weight.narrow(0, part.row, part.rows));
    if (bias) weights.load_into(part.name + ".bias", projection.bias.narrow(0, part.row, part.rows));
  }
  projection.parts = std::move(parts);
  return projection;
}

}  // namespace autoround::model
