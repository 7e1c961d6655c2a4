// Rows of a tensor as the kernels take them, and what one number needs as theirs do.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "device/device.hpp"
#include "model/guided_for.hpp"
#include "quant/kernels.hpp"

namespace autoround::quant {

using device::element_of;
using device::scale_type_of;

/// Rows of a matrix may lie apart, as those of a part of a larger one do; columns may not.
inline void* row_of(const at::Tensor& matrix, std::int64_t row) {
  return static_cast<char*>(matrix.data_ptr()) + row * matrix.stride(0) * matrix.element_size();
}

/// As auto-round has it.
inline float reciprocal(float value) { return std::fabs(value) >= kNextToNothing ? 1.f / value : 0.f; }

/// For one range of model::guided_for: enough work to outweigh waking a thread.
inline std::int64_t rows_per_task(std::int64_t columns, std::int64_t elements = 32768) {
  return std::max<std::int64_t>(1, elements / std::max<std::int64_t>(1, columns));
}

/// Runs body(row) over rows [first, last) in parallel.
template <class Body>
void for_each_row(std::int64_t first, std::int64_t last, std::int64_t columns, const Body& body) {
  model::guided_for(last - first, rows_per_task(columns), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = first + begin; row < first + end; ++row) body(row);
  });
}

}  // namespace autoround::quant
