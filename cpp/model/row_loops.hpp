// The row functions of model/kernels over tensors, shared among threads. For files compiled with OpenMP.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "model/guided_for.hpp"
#include "model/kernels/kernels.hpp"

namespace autoround::model {

/// Whether the row functions take x.
inline bool has_row_kernels(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kFloat);
}

inline const kernels::RowKernels& row_kernels(const at::Tensor& x) {
  const kernels::Kernels& table = kernels::select_kernels();
  return x.scalar_type() == at::kBFloat16 ? *table.rows_bf16 : *table.rows_fp32;
}

template <typename Arguments>
void run_rows(kernels::RowFunction<Arguments> kernel, const Arguments& arguments, std::int64_t rows) {
  constexpr std::int64_t elements_per_task = 16384;  // below this a thread costs more than it brings
  const std::int64_t grain = std::max<std::int64_t>(1, elements_per_task / std::max<std::int64_t>(1, arguments.width));
  guided_for(rows, grain, [&](std::int64_t begin, std::int64_t end) { kernel(arguments, begin, end); });
}

}  // namespace autoround::model
